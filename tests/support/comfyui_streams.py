"""A pool with a ComfyUI or two, and streams through them that are fed and looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfytrickle.testsrc import counter
from tests.support import clips, rogue_nodes
from tests.support.pool import Pool, running_pool
from tests.support.streams import OutFrame, Way
from tests.support.workspace import add_packs, copy_real_workspace, pack_source, write_workspace

CLIP = clips.plain(160)  # segments of ten frames
FRAME = ["1", 0]
PACKS = [(name, pack_source(name)) for name in ("probe", "streaming")]
ROGUE = ("rogue", Path(rogue_nodes.__file__).read_text(encoding="utf-8"))

Graph = dict[str, Any]


@dataclass(frozen=True)
class Comfy:
    """A pool whose default engine is ``new``."""

    pool: Pool
    folder: Path  # of the new one
    async_nodes: bool


def make_workspace(folder: Path, which: str) -> Path:
    """``which``: "written", or "real" (the test is skipped where none is named)."""
    if which == "real":
        copy_real_workspace(folder)
    else:
        write_workspace(folder, "2025-10-31")
    add_packs(folder, [*PACKS, ROGUE])
    return folder


@contextlib.contextmanager
def running_comfy(folder: Path, which: str, *, beside: bool = False) -> Iterator[Comfy]:
    """``beside``: with an older one, ``old``, which is always one that the tests write."""
    new = make_workspace(folder / "new", which)
    flags = ["--workspace", f"new={new}"]
    if beside:
        old = write_workspace(folder / "old", "2024-08", PACKS)
        flags += ["--workspace", f"old={old}"]
    async_nodes = "execute_async" in (new / "execution.py").read_text(encoding="utf-8")
    with running_pool(folder, *flags, "--devices", "cpu:3", "--restart-budget", "2") as pool:
        yield Comfy(pool, new, async_nodes)


def node(class_type: str, **inputs: Any) -> Graph:
    return {"class_type": class_type, "inputs": inputs}


def graph(**nodes: Graph) -> Graph:
    """``n8=node(...)``; node 1 is LoadTensor, 9 is SaveTensor of node 8."""
    made = {name[1:]: each for name, each in nodes.items()}
    return {"1": node("LoadTensor"), **made, "9": node("SaveTensor", images=["8", 0])}


INVERT = graph(n8=node("ImageInvert", image=FRAME))


async def feed(way: Way, first: int, last: int) -> None:
    for number, segment in enumerate(CLIP.segments[first:last], first):
        await way.segment(segment.data, len(segment.counters), seed=number)


async def finish(way: Way, frames: int) -> dict[str, Any]:
    """When so many frames have come: end the source. The last status."""
    await way.came(frames)
    await way.source.close()
    await way.over()
    return await way.shows(lambda s: not s["running"])


def inverted(frames: list[OutFrame]) -> bool:
    return all(counter.is_inverted(frame.luma) for frame in frames)


def seconds_to_the_first_byte(way: Way, begun: float) -> float:
    return way.sink.arrivals[0] - begun
