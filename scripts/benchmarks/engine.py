"""What the engine adds to the tensor operations themselves. Run as a process of its own:

    python -m benchmarks.engine WIDTH HEIGHT

prints one JSON object: milliseconds of wall time, medians, floor and ours interleaved.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from comfytrickle.messages import EngineConfig
from comfytrickle.workflow import parse_prompt
from workers.engine.bridge import FrameBridge
from workers.engine.embedded import EmbeddedEngine

NODES = 10


def chain(nodes: int) -> dict[str, Any]:
    """LoadTensor, so many ImageInvert, SaveTensor."""
    graph: dict[str, Any] = {"0": {"class_type": "LoadTensor", "inputs": {}}}
    for n in range(nodes):
        graph[str(n + 1)] = {"class_type": "ImageInvert", "inputs": {"image": [str(n), 0]}}
    graph["end"] = {"class_type": "SaveTensor", "inputs": {"images": [str(nodes), 0]}}
    return graph


def medians(*functions: Callable[[], object], rounds: int) -> list[float]:
    """Of each function, called in turn so that all see the same machine."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, kept in zip(functions, times, strict=True):
            begun = time.perf_counter()
            function()
            kept.append((time.perf_counter() - begun) * 1e3)
    return [statistics.median(kept[rounds // 10 :]) for kept in times]


def measure(width: int, height: int) -> dict[str, Any]:
    engine = EmbeddedEngine(EngineConfig())
    rgb = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    bridge = FrameBridge(engine.device)
    passing = engine.load(parse_prompt(chain(0)))

    def bare() -> None:
        with torch.inference_mode():
            bridge.download(bridge.upload(rgb))

    def through_graph() -> None:
        bridge.download(passing.run(bridge.upload(rgb)))

    bare_ms, pass_ms = medians(bare, through_graph, rounds=400)

    small = torch.rand(1, 64, 64, 3)
    ten = engine.load(parse_prompt(chain(NODES)))

    def bare_nodes() -> None:
        x = small
        with torch.inference_mode():
            for _ in range(NODES):
                x = 1.0 - x

    nodes_floor, nodes_ms = medians(bare_nodes, lambda: ten.run(small), rounds=2000)
    engine.close()
    return {
        "pass_through": {"floor": bare_ms, "ours": pass_ms, "overhead": pass_ms - bare_ms},
        "node": {
            "floor": nodes_floor / NODES,
            "ours": nodes_ms / NODES,
            "overhead": (nodes_ms - nodes_floor) / NODES,
        },
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
