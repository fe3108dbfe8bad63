"""Puts the editor's nodes into a ComfyUI's custom_nodes, and takes them out again.

What was put there is known by its marker (a file with our version and the names of our files):
a folder without one is somebody else's, and a file that the marker does not name is kept safe by
refusing. A folder that ends in ``.disabled`` is one that ComfyUI does not load.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from comfytrickle import __version__
from comfytrickle.errors import ComfytrickleError

# Not a name that could be imported: up to some version after 0.3.14, ComfyUI makes a pack the
# module of its folder's name. In a worker that runs that ComfyUI it would take our package's place.
FOLDER = "comfytrickle-nodes"
MARKER = "installed.json"

_SOURCE = Path(__file__).parent / "editor_nodes"
_OFFICIAL = ("folder_paths.py", "nodes.py", "execution.py", "comfy")


class NodePackError(ComfytrickleError):
    """The folder given is no ComfyUI, or what lies in it is not ours to touch."""


def install(workspace: Path) -> tuple[Path, str | None]:
    """Copy the pack. ``(where it is, the version that was there before)``; the version None: none.

    Installing again replaces our own files. Raises NodePackError, OSError.
    """
    target = _target(workspace)
    before = _installed(target)
    fresh = target.with_name(f"{FOLDER}.new.disabled")
    old = target.with_name(f"{FOLDER}.old.disabled")
    for left_over in (fresh, old):
        if left_over.exists():
            shutil.rmtree(left_over)
    files = sorted(path.name for path in _SOURCE.glob("*.py"))
    fresh.mkdir()
    for name in files:
        shutil.copyfile(_SOURCE / name, fresh / name)
    marker = {"version": __version__, "files": files}
    (fresh / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    if before is not None:
        target.rename(old)
    fresh.rename(target)
    if before is not None:
        shutil.rmtree(old)
    return target, before


def remove(workspace: Path) -> tuple[Path, str | None]:
    """Take the pack out. ``(where it was, its version)``; None: it was not there.

    Raises NodePackError, OSError.
    """
    target = _target(workspace)
    before = _installed(target)
    if before is not None:
        shutil.rmtree(target)
    return target, before


def _target(workspace: Path) -> Path:
    if not workspace.is_dir():
        raise NodePackError(f"there is no folder {workspace}")
    missing = [name for name in _OFFICIAL if not (workspace / name).exists()]
    if missing:
        raise NodePackError(
            f"{workspace} is not a ComfyUI: it has no {', '.join(missing)}. The folder that holds "
            "ComfyUI's main.py is expected"
        )
    (workspace / "custom_nodes").mkdir(exist_ok=True)
    return workspace / "custom_nodes" / FOLDER


def _installed(target: Path) -> str | None:
    """The version that is there, None for none. Raises NodePackError: it is not ours alone."""
    if not target.exists() and not target.is_symlink():
        return None
    try:
        if target.is_symlink():
            raise ValueError("it is a link")
        marker = json.loads((target / MARKER).read_text(encoding="utf-8"))
        ours, version = {*marker["files"], MARKER, "__pycache__"}, str(marker["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NodePackError(
            f"{target} was not put there by comfytrickle ({error}); move it away first"
        ) from error
    foreign = sorted(path.name for path in target.iterdir() if path.name not in ours)
    if foreign:
        raise NodePackError(f"{target} holds files that are not ours: {', '.join(foreign)}")
    return version
