"""The comfyui engine in a child process of the lab: pictures go in and out as numpy arrays."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import numpy as np
import torch

from comfytrickle.errors import InvalidWorkflow
from comfytrickle.messages import EngineConfig
from comfytrickle.workflow import parse_prompt
from tests.support.comfyui_lab import State
from workers.engine.protocol import NodeFailed

Graph = dict[str, Any]
Picture = np.ndarray[Any, np.dtype[np.float32]]


def boot(state: State, folder: str, *node_paths: str) -> dict[str, Any]:
    """Build the engine. Raises what it raises."""
    from workers.comfyui.engine import ComfyUIEngine

    config = EngineConfig(kind="comfyui", workspace=folder, node_paths=list(node_paths))
    engine = state["engine"] = ComfyUIEngine(config)
    return {"device": str(engine.device), "version": engine.version}


def catalogue(state: State) -> Any:
    """As it goes over HTTP."""
    return json.loads(json.dumps(state["engine"].object_info()))


def failed_packs(state: State) -> dict[str, str]:
    return dict(state["engine"].failed_packs())


def check(state: State, graph: Graph) -> list[tuple[str, str | None, str | None, str]]:
    """(type, node id, input, message) of each error; load() has to find the same."""
    workflow = parse_prompt(graph)
    errors = state["engine"].check(workflow)
    try:
        state["engine"].load(workflow).close()
    except InvalidWorkflow as error:
        assert error.errors == errors
    else:
        assert errors == []
    return [(e.type, e.node_id, e.input_name, e.message) for e in errors]


def load(state: State, name: str, graph: Graph, expected: str = "as foreseen") -> dict[str, Any]:
    """Keep it under ``name``. Returns its detail, which has to be the outlook, unless a node
    decides while it loads ("unforeseen")."""
    workflow = parse_prompt(graph)
    outlook = state["engine"].outlook(workflow)
    loaded = state[name] = state["engine"].load(workflow)
    assert loaded.detail == outlook or expected == "unforeseen"
    return dict(loaded.detail)


def frame(state: State, name: str, picture: Picture) -> Picture | tuple[str, str, str]:
    """What comes out, or (node id, node type, message) of the node that failed."""
    try:
        output: Picture = state[name].run(torch.from_numpy(picture)).numpy()
    except NodeFailed as error:
        return error.node_id, error.node_type, error.message
    return output


def detail(state: State, name: str) -> dict[str, Any]:
    return dict(json.loads(json.dumps(state[name].detail)))


def close(state: State, name: str) -> None:
    state.pop(name).close()


def held_after_a_frame(state: State, name: str, picture: Picture) -> list[str]:
    """Which of the frame's tensors something still refers to when it has been run."""
    image = torch.from_numpy(picture)
    with torch.inference_mode():
        output = state[name].run(image)
    left = {"frame": weakref.ref(image), "output": weakref.ref(output)}
    del image, output
    gc.collect()
    return [what for what, reference in left.items() if reference() is not None]


def models_loaded(state: State) -> list[float]:
    """By ProbeModel, ever."""
    import nodes

    return list(nodes.NODE_CLASS_MAPPINGS["ProbeModel"].LOADED)


def runs_async_nodes(state: State) -> bool:
    import execution

    return hasattr(execution.PromptExecutor, "execute_async")


def origin(state: State, class_type: str) -> str:
    import nodes

    return str(nodes.NODE_CLASS_MAPPINGS[class_type].__module__)


def imported(state: State, name: str) -> str:
    """From where a module comes. Raises what its import raises."""
    import importlib

    return str(importlib.import_module(name).__file__)


def variable(state: State, name: str) -> str | None:
    import os

    return os.environ.get(name)
