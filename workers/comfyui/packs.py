"""ComfyUI's own loading of its extra nodes and of custom nodes, and what failed in it.

It says only in its log why a pack is not there; its loader is watched for that.
"""

from __future__ import annotations

import inspect
import logging
from asyncio import AbstractEventLoop
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from workers.comfyui.calls import fitting, settle
from workers.comfyui.imports import install_command
from workers.comfyui.own_modules import own_modules_kept
from workers.engine.packs import find_packs

_log = logging.getLogger(__name__)


def load_all_nodes(
    nodes: ModuleType, node_paths: Sequence[str], loop: AbstractEventLoop
) -> dict[str, str]:
    """ComfyUI's extra nodes, the workspace's custom nodes, then the packs of ``node_paths``.

    Nodes that call paid services are left out: nobody is logged in. Returns path -> reason for
    those that failed.
    """
    failed: dict[str, str] = {}
    init = nodes.init_extra_nodes
    with _watched(nodes, failed):
        offered = {"init_custom_nodes": True, "init_api_nodes": False}
        settle(init(**fitting(init, offered)), loop)
        for text in node_paths:
            path = Path(text).expanduser().resolve()
            found = find_packs(path)
            if not found:
                failed[str(path)] = "no node pack there" if path.exists() else "no such file"
            for pack in found:
                settle(nodes.load_custom_node(str(pack)), loop)
    return failed


class _Records(logging.Handler):
    """Keeps the last warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage().strip()


@contextmanager
def _watched(nodes: ModuleType, failed: dict[str, str]) -> Iterator[None]:
    """Note for each call of load_custom_node that comes to nothing the last warning in it."""
    original = nodes.load_custom_node
    records = _Records()

    @contextmanager
    def noted(path: str, outcome: list[Any]) -> Iterator[None]:
        records.last = ""
        try:
            with own_modules_kept(path):
                yield
        except SystemExit as error:  # the one that its loader lets through
            failed[path] = f"SystemExit: {error}"
            _log.warning("node pack %s wanted to end the process", path, exc_info=True)
            return
        if not outcome[-1]:
            failed[path] = _reason(records.last, path)

    async def load_async(module_path: str, *args: Any, **kwargs: Any) -> Any:
        outcome: list[Any] = [False]
        with noted(module_path, outcome):
            outcome.append(await original(module_path, *args, **kwargs))
        return outcome[-1]

    def load(module_path: str, *args: Any, **kwargs: Any) -> Any:
        outcome: list[Any] = [False]
        with noted(module_path, outcome):
            outcome.append(original(module_path, *args, **kwargs))
        return outcome[-1]

    watched = load_async if inspect.iscoroutinefunction(original) else load
    vars(nodes)["load_custom_node"] = watched
    root = logging.getLogger()
    level = root.level
    root.setLevel(min(level, logging.WARNING))  # reasons are wanted, however little is logged
    root.addHandler(records)
    try:
        yield
    finally:
        root.removeHandler(records)
        root.setLevel(level)
        vars(nodes)["load_custom_node"] = original


def _reason(warning: str, path: str) -> str:
    """The warning without the path and the words around it: "Cannot import PATH ...: reason"."""
    if not warning:
        return "it did not load, and ComfyUI does not say why"
    _, found, after = warning.partition(path)
    reason = after.partition(": ")[2] if found and ": " in after else warning
    pack = Path(path)
    folder = pack if pack.is_dir() else pack.parent.parent  # an extra node's file: the workspace
    if reason.startswith("No module named") and (folder / "requirements.txt").is_file():
        reason += f"; perhaps mended by: {install_command(folder)}"
    return reason
