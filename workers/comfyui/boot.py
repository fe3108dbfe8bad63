"""ComfyUI brought into this process, in the order that its modules need; once, and not undone.

What its main.py does before it serves, without serving: arguments, folders, prestartup scripts, its
server object, its nodes and those of custom packs. Takes some seconds and 0.5 GB.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from comfytrickle.messages import EngineConfig
from workers.comfyui.arguments import set_arguments
from workers.comfyui.imports import has_part, import_part
from workers.comfyui.memory import guard_model_memory
from workers.comfyui.packs import load_all_nodes
from workers.comfyui.paths import run_prestartup_scripts, set_folders
from workers.comfyui.quiet_server import build_quiet_server
from workers.comfyui.workspace import Workspace, enter_workspace
from workers.nodes import io

_log = logging.getLogger(__name__)

STREAM_NODES = {
    cls.__name__: cls
    for cls in (
        io.LoadTensor,
        io.SaveTensor,
        io.LoadAudioTensor,
        io.SaveAudioTensor,
        io.SaveTextTensor,
    )
}


@dataclass(slots=True)
class ComfyUI:
    """The modules in use, and what was found out while they came in."""

    root: Path
    version: str | None
    nodes: ModuleType
    execution: ModuleType
    graph: ModuleType  # comfy_execution.graph
    model_management: ModuleType
    server: Any  # the PromptServer
    loop: asyncio.AbstractEventLoop  # of the server; runs only while nodes are loaded
    device: torch.device  # where pictures are between nodes
    memory: str  # how models and pictures are placed, for people
    failed: dict[str, str]  # node pack -> reason
    private_folder: str | None
    quiet: logging.Filter

    def close(self) -> None:
        """What can be undone. The modules stay."""
        logging.getLogger().removeFilter(self.quiet)
        if not self.loop.is_closed():
            self.loop.close()
        if self.private_folder is not None:
            shutil.rmtree(self.private_folder, ignore_errors=True)


def boot(workspace: Workspace, config: EngineConfig) -> ComfyUI:
    """Raises WorkerError: taken names, a module that cannot be imported, an unusable device."""
    root = workspace.root
    enter_workspace(workspace)
    # For custom nodes, as main.py does.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    memory = set_arguments(import_part("comfy.cli_args", root), config, root)
    folder_paths = import_part("folder_paths", root)
    # Before nodes, which puts comfy/ first on sys.path: `utils` is another module from then on.
    extra_config = import_part("utils.extra_config", root)
    private_folder = set_folders(folder_paths, extra_config, root)
    failed = run_prestartup_scripts(folder_paths)
    comfy_utils = import_part("comfy.utils", root)
    model_management = import_part("comfy.model_management", root)
    execution = import_part("execution", root)
    nodes = import_part("nodes", root)
    server = import_part("server", root)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # custom nodes ask for the current one while they are imported
    built = build_quiet_server(server, loop)
    breaker = None
    if has_part("hook_breaker_ac10a0", root):
        breaker = import_part("hook_breaker_ac10a0", root)
        breaker.save_functions()
    failed.update(load_all_nodes(nodes, config.node_paths, loop))
    if breaker is not None:
        breaker.restore_functions()
    nodes.NODE_CLASS_MAPPINGS.update(STREAM_NODES)
    comfy_utils.set_progress_bar_enabled(False)  # each sampler would draw one for each frame
    comfy_utils.set_progress_bar_global_hook(_interruptible(model_management))
    if hasattr(execution, "add_progress_handler"):
        # The handler walks over a registry that all runs share; two threads run here.
        vars(execution)["add_progress_handler"] = _no_progress
    guard_model_memory(model_management)
    quiet = _ToldElsewhere()
    logging.getLogger().addFilter(quiet)
    _log.info(
        "ComfyUI %s of %s: %d node types, %s",
        workspace.version or "(unknown version)",
        root,
        len(nodes.NODE_CLASS_MAPPINGS),
        memory,
    )
    return ComfyUI(
        root,
        workspace.version,
        nodes,
        execution,
        import_part("comfy_execution.graph", root),
        model_management,
        built,
        loop,
        torch.device(model_management.intermediate_device()),
        memory,
        failed,
        private_folder,
        quiet,
    )


def _interruptible(model_management: ModuleType) -> Any:
    """Called at each step of a sampler: between steps too, a run can be interrupted."""

    def step(*args: Any, **kwargs: Any) -> None:
        model_management.throw_exception_if_processing_interrupted()

    return step


def _no_progress(handler: Any) -> None:
    """Nobody watches a run's progress from a browser."""


class _ToldElsewhere(logging.Filter):
    """The executor logs every error of a node, for every frame. We hand it on as NodeFailed, which
    is logged and reported at a bearable rate."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (
            record.levelno == logging.ERROR
            and record.module == "execution"
            and record.funcName == "execute"
        )
