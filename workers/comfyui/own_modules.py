"""Our own modules stay what they are while packs are loaded.

Until 2025 ComfyUI makes a pack the module that its folder is named as, whatever has that name.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

_log = logging.getLogger(__name__)

_OURS = frozenset({"comfytrickle", "control_plane", "workers"})


@contextmanager
def own_modules_kept(pack: str) -> Iterator[None]:
    """What the pack at that path puts in the place of a module of ours, or below it, is taken out
    again. Its nodes work on; what it imports of its own later is not found."""
    before = _of_ours()
    try:
        yield
    finally:
        taken = [
            name
            for name, module in _of_ours().items()
            if module is not before.get(name) and (name in before or _lies_in(module, pack))
        ]
        for name in taken:
            del sys.modules[name]
        sys.modules.update(before)
        if taken:
            _log.warning(
                "node pack %s is named as a part of comfytrickle is: its modules %s cannot be "
                "imported any more",
                pack,
                ", ".join(taken),
            )


def _of_ours() -> dict[str, ModuleType]:
    modules = list(sys.modules.items())
    return {name: module for name, module in modules if name.partition(".")[0] in _OURS}


def _lies_in(module: ModuleType, pack: str) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(pack).resolve() in Path(file).resolve().parents
