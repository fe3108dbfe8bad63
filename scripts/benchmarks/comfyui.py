"""What a frame costs in a real ComfyUI, by way of running the workflow. Milliseconds, medians.

``comfyui``: its executor and its classic cache, the whole workflow for each frame. ``folded``: the
same executor, the constant part taken out. ``resident``: the graph of this project.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.engine import medians
from comfytrickle.errors import WorkerError
from comfytrickle.messages import EngineConfig
from comfytrickle.workflow import parse_prompt
from comfytrickle.workflow.model import SAVE_TENSOR
from workers.comfyui.boot import ComfyUI, boot
from workers.comfyui.by_executor import ExecutorGraph
from workers.comfyui.executor import Executor, Prompt
from workers.comfyui.stream_nodes import Passage, StreamNodes
from workers.comfyui.validation import validate
from workers.comfyui.workspace import find_workspace
from workers.engine.constants import Constants
from workers.engine.resident import load_resident

Graph = dict[str, Any]
_SMALL = 64  # pixels a side, where a node's own work is next to nothing
_NODES = 40


def node(class_type: str, **inputs: Any) -> Graph:
    return {"class_type": class_type, "inputs": inputs}


def inverts(count: int, first: str, name: str) -> Graph:
    """A chain of ImageInvert behind the node ``first``: ``name``1 .. ``name``count."""
    ids = [first, *(f"{name}{n + 1}" for n in range(count))]
    links = itertools.pairwise(ids)
    return {target: node("ImageInvert", image=[source, 0]) for source, target in links}


def workflows(width: int, height: int) -> dict[str, Graph]:
    blur = node("ImageBlur", image=["i1", 0], blur_radius=3, sigma=1.0)
    sharpen = node("ImageSharpen", image=["b", 0], sharpen_radius=1, sigma=1.0, alpha=0.5)
    half = {"upscale_method": "bilinear", "width": width // 2, "height": height // 2}
    scale = node("ImageScale", image=["s", 0], crop="disabled", **half)
    grey = node("EmptyImage", width=width, height=height, batch_size=1, color=0x804020)
    blend = {"blend_factor": 0.5, "blend_mode": "normal"}
    mixed = node("ImageBlend", image1=["in", 0], image2=["k19", 0], **blend)
    return {
        "pass": whole({}, "in"),
        "invert": whole(inverts(1, "in", "i"), "i1"),
        "4 nodes": whole({**inverts(1, "in", "i"), "b": blur, "s": sharpen, "h": scale}, "h"),
        "20 constant": whole({"e": grey, **inverts(19, "e", "k"), "m": mixed}, "m"),
        "40 nodes": whole(inverts(_NODES, "in", "i"), f"i{_NODES}"),
    }


def whole(middle: Graph, last: str) -> Graph:
    return {"in": node("LoadTensor"), **middle, "out": node("SaveTensor", images=[last, 0])}


class Bench:
    def __init__(self, comfyui: ComfyUI, frames: int) -> None:
        self._comfyui = comfyui
        self._frames = frames

    def row(self, name: str, graph: Graph, frame: torch.Tensor) -> dict[str, Any]:
        comfyui, constants = self._comfyui, Constants()
        workflow = parse_prompt(graph)
        prompt, errors = validate(comfyui, workflow)
        if errors:
            raise WorkerError(f"{name}: {errors[0].message}")
        folded = ExecutorGraph(comfyui, workflow, prompt, constants)
        classes = comfyui.nodes.NODE_CLASS_MAPPINGS
        look = comfyui.nodes.before_node_execution
        resident = load_resident(workflow, classes, comfyui.device, "comfyui", constants, look)
        plain = Plain(comfyui, prompt)
        ways: list[Callable[[], torch.Tensor]] = [
            lambda: plain.run(frame),
            lambda: folded.run(frame),
            lambda: resident.run(frame),
        ]
        expected, by_folded, by_resident = (way() for way in ways)
        times = medians(*ways, rounds=self._frames)
        for graph_of_ours in (plain, folded, resident):
            graph_of_ours.close()
        return {
            "workflow": name,
            "size": f"{frame.shape[2]}x{frame.shape[1]}",
            "comfyui_ms": times[0],
            "folded_ms": times[1],
            "resident_ms": times[2],
            "difference": max(difference(expected, out) for out in (by_folded, by_resident)),
        }

    def overhead(self) -> list[dict[str, Any]]:
        """What the resident graph adds to the nodes' own functions."""
        comfyui = self._comfyui
        classes = comfyui.nodes.NODE_CLASS_MAPPINGS
        invert = classes["ImageInvert"]()
        function = getattr(invert, invert.FUNCTION)
        small = torch.rand(1, _SMALL, _SMALL, 3)

        def bare(nodes: int) -> torch.Tensor:
            image = small
            with torch.inference_mode():
                for _ in range(nodes):
                    image = function(image=image)[0]
            return image

        rows = []
        for name, nodes in (("a frame", 0), ("a node", _NODES)):
            graph = whole(inverts(nodes, "in", "i"), f"i{nodes}" if nodes else "in")
            loaded = load_resident(
                parse_prompt(graph),
                classes,
                comfyui.device,
                "comfyui",
                Constants(),
                comfyui.nodes.before_node_execution,
            )
            floor, ours = medians(
                lambda nodes=nodes: bare(nodes),  # type: ignore[misc]
                lambda loaded=loaded: loaded.run(small),  # type: ignore[misc]
                rounds=5 * self._frames,
            )
            loaded.close()
            rows.append({"overhead_of": name, "overhead_ms": (ours - floor) / max(1, nodes)})
        return rows


class KeepingAll(Executor):
    """Leaves in ComfyUI's caches what is there, as ComfyUI does."""

    def _forget(self, prompt: Prompt, keep: Sequence[str]) -> None:
        pass


class Plain:
    """As ComfyUI runs it: nothing is folded, constants stay in its cache."""

    def __init__(self, comfyui: ComfyUI, prompt: Graph) -> None:
        self._passage = Passage()
        self._names = StreamNodes(comfyui.nodes.NODE_CLASS_MAPPINGS, self._passage)
        self._executor = KeepingAll(comfyui, self._names)
        self._prompt = {
            i: {**entry, "class_type": self._names.name(entry["class_type"])}
            for i, entry in prompt.items()
        }

    def run(self, frame: torch.Tensor) -> torch.Tensor:
        self._passage.frame = frame
        self._executor.run(self._prompt, ["out"])
        output: torch.Tensor = self._passage.saved[SAVE_TENSOR]
        self._passage.clear()
        return output

    def close(self) -> None:
        self._executor.close()
        self._names.close()


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max()) if one.shape == other.shape else float("inf")


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'workflow':12} {'comfyui':>9} {'folded':>9} {'resident':>9}  largest difference")
    for row in rows:
        if "workflow" in row:
            figures = " ".join(f"{row[f'{way}_ms']:9.3f}" for way in ("comfyui", "folded"))
            print(
                f"{row['workflow']:12} {figures} {row['resident_ms']:9.3f}  {row['difference']:g}"
            )
        else:
            print(f"overhead of {row['overhead_of']}: {row['overhead_ms']:.4f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", required=True, help="a ComfyUI in the official layout")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", default="512x512", help="WIDTHxHEIGHT")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    torch.set_num_threads(1)
    width, height = (int(n) for n in options.size.split("x"))
    try:
        config = EngineConfig(kind="comfyui", workspace=options.workspace)
        comfyui = boot(find_workspace(options.workspace), config)
        bench = Bench(comfyui, options.frames)
        frame = torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(1))
        rows = [bench.row(name, graph, frame) for name, graph in workflows(width, height).items()]
        rows += bench.overhead()
    except WorkerError as error:
        sys.exit(f"bench_comfyui: {error}")
    print(f"ComfyUI {comfyui.version or 'of 2024'}, {options.size}, milliseconds per frame")
    show(rows)
    comfyui.close()
    if options.json:
        print(json.dumps(rows))
    if any(row.get("difference") for row in rows):
        sys.exit("the resident graph gives something else")
