"""Streams through a ComfyUI: nodes that raise, and stops while nodes take long.

In workspaces that the tests write, and in a copy of the one that COMFYUI_WORKSPACE names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import clips
from tests.support.comfyui_streams import (
    CLIP,
    FRAME,
    Comfy,
    Graph,
    feed,
    finish,
    graph,
    inverted,
    node,
    running_comfy,
)
from tests.support.pool import Pool
from tests.support.streams import OutFrame, Way, numbered, open_way, until

GOOD = 100  # frames before a node fails
SLOW = 24  # nodes of half a second: longer than a stop may take


@pytest.fixture(scope="module", params=["written", "real"])
def comfy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Comfy]:
    with running_comfy(tmp_path_factory.mktemp("pool"), request.param) as running:
        yield running


def is_marked(frame: OutFrame) -> bool:
    """Its lowest line is hatched in place of the pattern's one colour."""
    line = frame.luma[-1].astype(int)
    return int(line.max()) - int(line.min()) > 60


def log_of(pool: Pool, way: Way) -> str:
    return str(pool.get(f"/stream/{way.name}/logs?tail=1000")[1])


def failing(way: str, path: Path) -> Graph:
    """Raises from frame 101 on, in the stream's first worker; what works comes out inverted."""
    inputs = {"after": GOOD, "count": 1_000_000, "error": "ValueError", "path": str(path)}
    nodes = {"n7": node("RogueSpoilt", image=FRAME, **inputs)}
    if way == "executor":
        nodes["n2"] = node("ImageInvert", image=["7", 0])
        nodes["n8"] = node("ProbeLazy", first=["2", 0], second=["7", 0], use_second=False)
    else:
        nodes["n8"] = node("ImageInvert", image=["7", 0])
    return graph(**nodes)


@pytest.mark.parametrize(
    ("on_error", "ran_by"),
    [("restart", "executor"), ("passthrough", "resident"), ("stop", "executor")],
)
async def test_a_node_that_raises_from_some_frame_on(
    comfy: Comfy, tmp_path: Path, on_error: str, ran_by: str
) -> None:
    """What each on_error does is looked at closely in test_on_error.py."""
    workflow = failing(ran_by, tmp_path / "spoilt")
    params = {"on_error": on_error, "on_error_after": 10}
    async with open_way(comfy.pool, drop="never", workflow=workflow, **params) as way:
        await feed(way, 0, 10)
        if on_error == "stop":
            await way.segment(CLIP.segments[10].data, 0)
            await way.over()
            status = await way.shows(lambda s: not s["running"])
            frames = way.check(numbered(CLIP)[:GOOD])
        else:
            await feed(way, 10, 13)
            status = await finish(way, 130)
            frames = way.check(numbered(CLIP)[:130])
        log = log_of(comfy.pool, way)
    passed = [frame for frame in frames if is_marked(frame)]
    assert inverted([frame for frame in frames if not is_marked(frame)])
    assert len(passed) == (30 if on_error == "passthrough" else 0)
    assert status["restarts"] == (1 if on_error == "restart" else 0)
    assert status["health"] == ("failed" if on_error == "stop" else "ended")
    error = status["last_error"]
    assert (error["kind"], error["node_id"], error["node_type"]) == ("node", "7", "RogueSpoilt")
    assert "ValueError: rogue: frame 1" in error["message"]
    assert "node 7 (RogueSpoilt): ValueError: rogue: frame 101" in log
    assert "in run_once" in log  # the traceback leads into the pack
    if on_error != "restart":  # there it is the next worker's
        assert status["detail"]["graph"] == ran_by


def slow(way: str, path: Path) -> Graph:
    """A chain of nodes that take long from when ``path`` is there: of live ones that are run as a
    resident graph or by the executor, or (while it loads) of constant ones."""
    nodes: dict[str, Graph] = {}
    last = FRAME
    if way == "loading":
        grey = node("EmptyImage", width=clips.WIDTH, height=clips.HEIGHT, batch_size=1, color=0)
        nodes["n20"], last = grey, ["20", 0]
    for number in range(100, 100 + SLOW):
        nodes[f"n{number}"] = node("StreamingSlow", image=last, path=str(path))
        last = [str(number), 0]
    if way == "executor":
        nodes["n8"] = node("ProbeLazy", first=last, second=FRAME, use_second=False)
    elif way == "loading":
        blend = {"blend_factor": 0.0, "blend_mode": "normal"}
        nodes["n8"] = node("ImageBlend", image1=FRAME, image2=last, **blend)
    else:
        nodes["n8"] = node("ImageInvert", image=last)
    return graph(**nodes)


@pytest.mark.parametrize("way_of_it", ["resident", "executor"])
async def test_a_stop_ends_a_long_run_between_two_nodes(
    comfy: Comfy, tmp_path: Path, way_of_it: str
) -> None:
    path = tmp_path / "slow"
    workflow = slow(way_of_it, path)
    async with open_way(comfy.pool, drop="never", workflow=workflow) as way:
        await feed(way, 0, 2)
        await way.came(20)
        assert (await way.shows(lambda s: s["detail"].get("graph")))["detail"]["graph"] == way_of_it
        path.touch()
        await way.segment(CLIP.segments[2].data, 0)
        await until(Path(f"{path}.began").exists, "the slow nodes")
        body = {"stream_id": way.name}
        await asyncio.to_thread(comfy.pool.post, "/stream/stop?wait=30", body)
        await way.over()
        status = await way.shows(lambda s: not s["running"])
        way.check(numbered(CLIP)[:20])
        log = log_of(comfy.pool, way)
    assert (status["exit_cause"], status["exit_code"]) == ("requested", 0)
    dropped = status["frames"]["dropped"]
    assert dropped.keys() == {"interrupted"} and dropped["interrupted"] >= 1
    assert status["frames"]["in"] == 20 + dropped["interrupted"]
    assert "(StreamingSlow): interrupted" in log and "not flushed" not in log
    assert status["node_errors"] == 0 and status["last_error"] is None


async def test_a_stop_ends_a_long_load_between_two_nodes(comfy: Comfy, tmp_path: Path) -> None:
    path = tmp_path / "slow"
    path.touch()
    async with open_way(comfy.pool, workflow=slow("loading", path)) as way:
        await until(Path(f"{path}.began").exists, "the slow nodes")
        body = {"stream_id": way.name}
        await asyncio.to_thread(comfy.pool.post, "/stream/stop?wait=30", body)
        await way.over()
        status = await way.shows(lambda s: not s["running"])
        log = log_of(comfy.pool, way)
    assert (status["exit_cause"], status["exit_code"]) == ("requested", 0)
    assert "(StreamingSlow): interrupted" in log and "not flushed" not in log
    assert status["last_error"] is None
