"""Workspaces with packs good and bad, the engine booted in them, and small workflows for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from comfytrickle import node_pack
from tests.support import comfyui_engine_child as engine
from tests.support.comfyui_lab import Child, Lab
from tests.support.workspace import (
    BROKEN_PACK,
    EMPTY_PACK,
    GENERATIONS,
    add_packs,
    copy_real_workspace,
    pack_source,
    write_workspace,
)

WHICH = [*GENERATIONS, "real"]
Graph = dict[str, Any]
Picture = engine.Picture
FRAME = ["1", 0]

# Asks the server for a route while it is imported, as many packs do.
SERVED_PACK = """
from server import PromptServer

@PromptServer.instance.routes.get("/probe")
async def probe(request):
    raise NotImplementedError

NODE_CLASS_MAPPINGS = {"Served": type("Served", (), {
    "RETURN_TYPES": ("IMAGE",), "FUNCTION": "run", "CATEGORY": "probe",
    "INPUT_TYPES": classmethod(lambda cls: {"required": {"image": ("IMAGE",)}}),
    "run": lambda self, image: (image,),
})}
"""
PRESTARTUP = 'import os\nos.environ["PROBE_PRESTARTUP"] = "ran"\n'


@dataclass(frozen=True)
class Started:
    folder: Path
    child: Child
    said: dict[str, Any]
    v3: bool


@contextlib.contextmanager
def started_engine(lab: Lab, folder: Path, which: str) -> Iterator[Started]:
    """A process with the engine in a workspace at ``folder``: of a generation, or "real": a copy
    of the one that COMFYUI_WORKSPACE names (the test is skipped without)."""
    if which == "real":
        copy_real_workspace(folder)
    else:
        write_workspace(folder, which)
    v3 = (folder / "comfy_api" / "latest").exists()
    packs = [("probe", pack_source("probe")), ("broken", BROKEN_PACK), ("empty", EMPTY_PACK)]
    packs += [("served", SERVED_PACK), ("probe_v3", pack_source("probe_v3"))][: 2 if v3 else 1]
    add_packs(folder, packs)
    (folder / "custom_nodes" / "served" / "prestartup_script.py").write_text(PRESTARTUP)
    node_pack.install(folder)
    elsewhere = {"mine": {"base_path": str(folder.parent), "custom_nodes": "elsewhere"}}
    (folder / "extra_model_paths.yaml").write_text(json.dumps(elsewhere))
    (folder.parent / "elsewhere").mkdir()
    other = SERVED_PACK.replace("Served", "FromElsewhere").replace("/probe", "/other")
    (folder.parent / "elsewhere" / "found.py").write_text(other)
    with lab.open() as child:
        yield Started(folder, child, child.ask(engine.boot, str(folder)), v3)


def graph(**nodes: tuple[str, dict[str, Any]]) -> Graph:
    """``n2=("ImageInvert", {...})``; node 1 is LoadTensor, 9 is SaveTensor of node 2."""
    made = {name[1:]: node for name, node in nodes.items()}
    made = {"1": ("LoadTensor", {}), "9": ("SaveTensor", {"images": ["2", 0]}), **made}
    return {i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in made.items()}


INVERT = graph(n2=("ImageInvert", {"image": FRAME}))


def picture(seed: int) -> Picture:
    return np.random.default_rng(seed).random((1, 6, 8, 3), dtype=np.float32)


def run(child: Child, workflow: Graph, *pictures: Picture) -> tuple[list[Any], dict[str, Any]]:
    """``(what came out for each, the detail afterwards)``."""
    child.ask(engine.load, "one", workflow)
    try:
        outputs = [child.ask(engine.frame, "one", each) for each in pictures]
        return outputs, child.ask(engine.detail, "one")
    finally:
        child.ask(engine.close, "one")


def reasons(detail: dict[str, Any]) -> list[tuple[str, str]]:
    return [(reason["node_id"], reason["node_type"]) for reason in detail["reasons"]]


def swapped(image: Picture) -> Picture:
    """The lower half above the upper one: what ProbeRows and ProbeJoin do."""
    return np.concatenate((image[:, 3:], image[:, :3]), axis=1)
