"""A workspace used directly, as its own main.py would: in a child process of the lab."""

from __future__ import annotations

import asyncio
import copy
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from tests.support.comfyui_lab import State


def boot_by_hand(state: State, folder: str) -> None:
    """Import it, on the CPU, with its extra and custom nodes."""
    sys.path.insert(0, folder)
    from comfy import cli_args

    cli_args.args.cpu = True
    cli_args.args.front_end_root = folder
    # In this order: nodes.py puts comfy/ first on sys.path, where utils is another module.
    wanted = ("utils.extra_config", "execution", "folder_paths", "nodes", "server")
    _, execution, folder_paths, nodes, server = map(importlib.import_module, wanted)

    folder_paths.set_temp_directory(str(Path(folder) / "temp"))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    built = server.PromptServer(loop)
    for name in ("send_sync", "queue_updated"):
        setattr(built, name, lambda *args, **kwargs: None)
    state.update(loop=loop, execution=execution)
    offered: dict[str, Any] = {"init_custom_nodes": True, "init_api_nodes": False}
    _settle(state, _call(nodes.init_extra_nodes, offered))
    arguments = {"server": built, "cache_args": {"lru": 0, "ram": 4.0}}
    state["executor"] = _call(execution.PromptExecutor, arguments)


def validate_by_hand(state: State, graph: dict[str, Any]) -> Any:
    """ComfyUI's node_errors."""
    offered = {"prompt_id": "x", "prompt": copy.deepcopy(graph), "partial_execution_list": None}
    return _settle(state, _call(state["execution"].validate_prompt, offered))[3]


def run_by_hand(state: State, graph: dict[str, Any], outputs: list[str]) -> Any:
    """What the editor would be shown: node id -> its ``ui``."""
    executor = state["executor"]
    execute = getattr(executor, "execute_async", executor.execute)
    _settle(state, execute(copy.deepcopy(graph), "x", {}, outputs))
    assert executor.success, executor.status_messages
    return executor.history_result["outputs"]


def _call(function: Any, offered: dict[str, Any]) -> Any:
    known = inspect.signature(function).parameters
    return function(**{name: value for name, value in offered.items() if name in known})


def _settle(state: State, result: Any) -> Any:
    return state["loop"].run_until_complete(result) if inspect.isawaitable(result) else result
