"""Importing ComfyUI's modules, with words for the usual reason that it fails: a missing package."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from types import ModuleType

from comfytrickle.errors import WorkerError

_log = logging.getLogger(__name__)


def import_part(name: str, root: Path) -> ModuleType:
    """A module of ComfyUI. Raises WorkerError: which import failed, why, and what may help."""
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; reported
        _log.exception("importing %s of ComfyUI failed", name)
        missing = getattr(error, "name", None)
        what = f" (it needs {missing!r})" if missing and missing != name else ""
        failure = WorkerError(
            f"the ComfyUI of {root} cannot be imported: module {name}{what}: "
            f"{type(error).__name__}: {error}; its requirements are installed by: "
            f"{install_command(root)}"
        )
    raise failure


def has_part(name: str, root: Path) -> bool:
    """Has this version such a module? (Looked up by file: a package's import would run it.)"""
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file() or path.is_dir()


def install_command(root: Path) -> str:
    return f"pip install -r {root / 'requirements.txt'}"
