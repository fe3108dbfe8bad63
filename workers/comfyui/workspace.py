"""A ComfyUI checkout in the official layout: is it one, which version, may it come in here.

Its root is full of general names (nodes, server, utils, app, ...) and goes to the front of
sys.path, as when ComfyUI is started. So it comes in late, into a worker only, once, and only where
none of these names means another module yet.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from comfytrickle.errors import WorkerError

_PARTS = ("folder_paths.py", "nodes.py", "execution.py", "server.py", "comfy")
# What ComfyUI imports from its own root, in one version or another.
_NAMES = (
    "api_server",
    "app",
    "comfy",
    "comfy_api",
    "comfy_config",
    "comfy_execution",
    "comfy_extras",
    "comfyui_version",
    "execution",
    "folder_paths",
    "latent_preview",
    "middleware",
    "node_helpers",
    "nodes",
    "protocol",
    "server",
    "utils",
)
_VERSION = re.compile(r"^(?:__version__|version)\s*=\s*[\"']([^\"']+)[\"']", re.MULTILINE)

# hiddenswitch/ComfyUI 0.10.0 requires av < 16 and numpy < 2.3.
_FORK = "whose requirements exclude this project's (it wants an older av)"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder that looks like a ComfyUI. ``version``: None where it does not say (before 2025)."""

    root: Path
    version: str | None


def find_workspace(path: str) -> Workspace:
    """Raises WorkerError that names what is missing."""
    root = Path(path).expanduser()
    if not root.is_dir():
        raise WorkerError(f"workspace {path}: there is no such folder")
    root = root.resolve()
    missing = [part for part in _PARTS if not (root / part).exists()]
    if missing:
        hint = f"; it is the pip-installable fork, {_FORK}" if _is_fork(root) else ""
        lacks = ", ".join(missing)
        raise WorkerError(
            f"workspace {root} is no ComfyUI (official layout): it has no {lacks}{hint}"
        )
    return Workspace(root, _version(root))


def no_workspace() -> WorkerError:
    """The comfyui engine is asked for without one."""
    return WorkerError(
        "the comfyui engine needs a ComfyUI in its official layout: --workspace PATH. "
        f"(The pip-installable fork is not used, {_FORK}.)"
    )


def enter_workspace(workspace: Workspace) -> None:
    """Make its modules importable, in front of all others. Raises WorkerError where one of its
    names is taken, or where a ComfyUI is in this process already."""
    root = workspace.root
    for name in _NAMES:
        module = sys.modules.get(name)
        if module is None:
            continue
        place = _place(module)
        if place is not None and root in place.parents:
            raise WorkerError(f"the ComfyUI of {root} is in this process already")
        raise WorkerError(
            f"workspace {root} cannot be used: a module {name!r} is imported already, from "
            f"{place or 'an unknown place'}"
        )
    sys.path.insert(0, str(root))


def _is_fork(root: Path) -> bool:
    return (root / "comfy" / "cmd" / "execution.py").is_file()


def _version(root: Path) -> str | None:
    for name in ("comfyui_version.py", "pyproject.toml"):
        try:
            found = _VERSION.search((root / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        if found:
            return found.group(1)
    return None


def _place(module: ModuleType) -> Path | None:
    """The file of a module, or the folder of a package without one."""
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    return Path(places[0]).resolve() if places else None
