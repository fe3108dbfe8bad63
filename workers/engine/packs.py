"""Node packs from files: a .py file, a package folder, or a folder of either.

A pack is loaded under a module name of its own, so that it cannot hide or replace anybody's
module. What goes wrong in one (a syntax error, a missing dependency, sys.exit) is its own reason
for not being there, and stops nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

_log = logging.getLogger(__name__)
_PREFIX = "comfytrickle_pack"


@dataclass
class Packs:
    """What was found. ``failed``: path -> reason."""

    loaded: list[tuple[Path, ModuleType]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def load_packs(paths: list[str]) -> Packs:
    """Load what each path names, in order; never raises for what a pack does."""
    packs = Packs()
    for text in paths:
        path = Path(text).expanduser().resolve()
        candidates = find_packs(path)
        if not candidates:
            packs.failed[str(path)] = (
                "no node pack there (a .py file, or a folder with __init__.py or of such)"
                if path.exists()
                else "no such file or folder"
            )
        for candidate in candidates:
            _load_into(packs, candidate)
    return packs


def find_packs(path: Path) -> list[Path]:
    """The packs that a path names: itself, or the packs in it, by name."""
    if _is_pack(path):
        return [path]
    if not path.is_dir():
        return []
    return [
        child
        for child in sorted(path.iterdir())
        if _is_pack(child) and not child.name.startswith((".", "_"))
    ]


def _is_pack(path: Path) -> bool:
    if path.name.endswith(".disabled"):
        return False
    return (path.is_file() and path.suffix == ".py") or (path / "__init__.py").is_file()


def _load_into(packs: Packs, path: Path) -> None:
    key = str(path)
    try:
        module = _import(path)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; reported
        packs.failed[key] = f"{type(error).__name__}: {error}"
        _log.warning("node pack %s could not be loaded", path, exc_info=True)
        return
    if isinstance(getattr(module, "NODE_CLASS_MAPPINGS", None), Mapping):
        packs.loaded.append((path, module))
    elif hasattr(module, "comfy_entrypoint"):
        packs.failed[key] = "a pack of V3 nodes, which needs the comfyui engine"
    else:
        packs.failed[key] = "it has no NODE_CLASS_MAPPINGS"


def _import(path: Path) -> ModuleType:
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    stem = "".join(c if c.isalnum() else "_" for c in path.stem)
    name = f"{_PREFIX}_{digest}_{stem}"
    if path.is_dir():
        spec = importlib.util.spec_from_file_location(
            name, path / "__init__.py", submodule_search_locations=[str(path)]
        )
    else:
        spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"Python has no loader for {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # relative imports and dataclasses look it up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
            del sys.modules[loaded]
        raise
    return module


def mapping_of(module: ModuleType, attribute: str) -> Mapping[Any, Any]:
    value = getattr(module, attribute, None)
    return value if isinstance(value, Mapping) else {}
