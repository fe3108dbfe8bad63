"""A node that fails while a stream runs: what each on_error makes of it, on counted frames."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfytrickle.testsrc import counter
from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.sources import pattern_chunks
from tests.support import clips, rogue_nodes
from tests.support.pool import Pool, running_pool
from tests.support.streams import OutFrame, Way, numbered, open_way

CLIP = clips.plain(160)  # segments of ten frames
GOOD = 100  # frames before the node fails


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    flags = ("--devices", "cpu:2", "--restart-budget", "2")
    nodes = ("--nodes", str(Path(rogue_nodes.__file__)))
    with running_pool(tmp_path_factory.mktemp("pool"), *flags, *nodes) as running:
        yield running


def through(node: str, after: int = GOOD, **inputs: Any) -> dict[str, Any]:
    """What works comes out inverted."""
    return {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "7": {"class_type": node, "inputs": {"image": ["1", 0], "after": after, **inputs}},
        "8": {"class_type": "ImageInvert", "inputs": {"image": ["7", 0]}},
        "9": {"class_type": "SaveTensor", "inputs": {"images": ["8", 0]}},
    }


def spoilt(folder: Path, after: int = GOOD, **inputs: Any) -> dict[str, Any]:
    """Only the first worker of the stream fails."""
    more = {"count": 1_000_000, "error": "ValueError", "path": str(folder / "spoilt"), **inputs}
    return through("RogueSpoilt", after, **more)


def is_marked(frame: OutFrame) -> bool:
    """Its lowest line is hatched in place of the pattern's one colour."""
    line = frame.luma[-1].astype(int)
    return int(line.max()) - int(line.min()) > 60


async def feed(way: Way, first: int, last: int, *, comes: bool = True) -> None:
    for number, segment in enumerate(CLIP.segments[first:last], first):
        await way.segment(segment.data, len(segment.counters) if comes else 0, seed=number)


async def finish(way: Way, frames: int) -> dict[str, Any]:
    """When so many frames have come: end the source. The last status."""
    await way.came(frames)
    await way.source.close()
    await way.over()
    return await way.shows(lambda s: not s["running"])


def log_of(pool: Pool, way: Way) -> str:
    return str(pool.get(f"/stream/{way.name}/logs?tail=1000")[1])


def check_error(error: dict[str, Any], node_type: str, says: str) -> None:
    assert (error["kind"], error["node_id"], error["node_type"]) == ("node", "7", node_type)
    assert says in error["message"] and error["time"]


async def test_restart_loses_no_frame_that_the_next_worker_can_do(
    pool: Pool, tmp_path: Path
) -> None:
    workflow = spoilt(tmp_path)
    async with open_way(pool, drop="never", workflow=workflow, on_error_after=10) as way:
        pid = (await way.status())["pid"]
        await feed(way, 0, 16)  # ten fail, then the next worker tries them again
        status = await finish(way, 160)
        frames = way.check(numbered(CLIP))
        log = log_of(pool, way)
    assert all(counter.is_inverted(f.luma) and not is_marked(f) for f in frames)
    assert (status["health"], status["restarts"]) == ("ended", 1) and status["pid"] != pid
    assert (status["node_errors"], status["frames"]["dropped"]) == (10, {"error": 10})
    check_error(status["last_error"], "RogueSpoilt", "rogue: frame 110 of this worker")
    assert status["last_error"]["message"].endswith("(10 frames in a row)")
    (death,) = status["deaths"]
    assert (death["exit_cause"], death["node_id"], death["node_type"]) == (
        "nonzero", "7", "RogueSpoilt",
    )  # fmt: skip
    assert "rogue: frame 110" in death["message"] and "rogue_nodes.py" in death["log_tail"]
    assert "node 7 (RogueSpoilt): ValueError: rogue: frame 101 of this worker" in log


async def test_passthrough_shows_the_source_marked_until_the_node_works_again(
    pool: Pool, tmp_path: Path
) -> None:
    workflow = spoilt(tmp_path, count=25)
    params = {"on_error": "passthrough", "on_error_after": 10}
    async with open_way(pool, drop="never", workflow=workflow, **params) as way:
        await feed(way, 0, 11)
        status = await way.shows(lambda s: s["node_errors"])
        assert (status["running"], status["health"]) == (True, "degraded")
        await feed(way, 11, 16)
        status = await finish(way, 160)
        frames = way.check(numbered(CLIP))
        log = log_of(pool, way)
    failed = set(range(GOOD, GOOD + 25))
    assert {f.counter for f in frames if is_marked(f)} == failed
    assert {f.counter for f in frames if not counter.is_inverted(f.luma)} == failed
    assert (status["health"], status["restarts"]) == ("ended", 0)
    assert (status["node_errors"], status["frames"]["passed_through"]) == (25, 25)
    assert (status["frames"]["in"], status["frames"]["out"]) == (160, 160)
    assert status["frames"]["dropped"] == {}
    check_error(status["last_error"], "RogueSpoilt", "ValueError: rogue: frame 1")
    assert "node 7 (RogueSpoilt): ValueError" in log and "in run_once" in log


async def test_stop_ends_the_stream_and_its_sink(pool: Pool) -> None:
    workflow = through("RogueRaiseAlways")
    params = {"on_error": "stop", "on_error_after": "10"}
    async with open_way(pool, drop="never", workflow=workflow, **params) as way:
        await feed(way, 0, 10)
        await feed(way, 10, 11, comes=False)
        await way.over()  # its reader sees the end
        status = await way.shows(lambda s: not s["running"])
        way.check(numbered(CLIP)[:GOOD])
        log = log_of(pool, way)
        assert not (await asyncio.to_thread(pool.get, "/quarantine"))[1]["workflows"]
    assert (status["state"], status["health"], status["exit_cause"]) == (
        "exited", "failed", "nonzero",
    )  # fmt: skip
    assert (status["restarts"], status["deaths"], status["exit_code"]) == (0, [], 1)
    assert (status["node_errors"], status["frames"]["out"]) == (10, GOOD)
    check_error(status["last_error"], "RogueRaiseAlways", "never again (10 frames in a row)")
    assert "node 7 (RogueRaiseAlways)" in status["last_error"]["log_tail"] and "misbehave" in log


async def test_a_frame_that_fails_now_and_then_ends_nothing(pool: Pool) -> None:
    workflow = through("RogueRaise", 0)  # every fifth
    params = {"on_error": "stop", "on_error_after": 2}
    async with open_way(pool, drop="never", workflow=workflow, **params) as way:
        for segment in CLIP.segments[:4]:
            await way.segment(segment.data, 8)
        status = await finish(way, 32)
        way.check([frame for frame in numbered(CLIP)[:40] if frame[0] % 5 != 4])
    assert (status["health"], status["frames"]["dropped"]) == ("ended", {"error": 8})


@pytest.mark.parametrize("on_error", ["restart", "passthrough", "stop"])
async def test_want_of_memory_replaces_the_worker_at_once(
    pool: Pool, tmp_path: Path, on_error: str
) -> None:
    workflow = spoilt(tmp_path, 15, error="MemoryError")
    async with open_way(pool, drop="never", workflow=workflow, on_error=on_error) as way:
        await feed(way, 0, 5)
        status = await finish(way, 50)
        way.check(numbered(CLIP)[:50])
    assert (status["health"], status["restarts"], status["node_errors"]) == ("ended", 1, 1)
    assert status["frames"]["passed_through"] == 0
    check_error(status["last_error"], "RogueSpoilt", "MemoryError: rogue: frame 16 of this worker")
    assert "(out of memory: the machine has " in status["last_error"]["message"]


async def test_a_workflow_that_always_fails_is_quarantined(pool: Pool) -> None:
    workflow = through("RogueRaiseAlways", 0)
    async with open_way(pool, workflow=workflow, on_error_after=3) as way:
        feeding = asyncio.create_task(way.live(list(pattern_chunks(EncoderSpec(128, 96), 900))))
        try:
            status = await way.shows(lambda s: not s["running"])
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})
        assert (status["health"], status["restarts"], status["frames"]["out"]) == ("failed", 2, 0)
        check_error(status["last_error"], "RogueRaiseAlways", "(3 frames in a row)")
        assert [death["node_id"] for death in status["deaths"]] == ["7"] * 3
        urls = {key: status[key] for key in ("subscribe_url", "publish_url")}
        body = {**urls, "params": {"prompt": workflow}}
        code, answer = await asyncio.to_thread(pool.post, "/stream/start", body)
        assert code == 409 and "in node 7 (RogueRaiseAlways): ValueError" in answer["error"]
        digest = answer["quarantine"]["digest"]
        code, _ = await asyncio.to_thread(pool.call, "DELETE", f"/quarantine/{digest}")
        assert code == 200


async def test_it_is_changed_while_the_stream_runs(pool: Pool) -> None:
    workflow = through("RogueRaiseAlways", 10)
    async with open_way(pool, drop="never", workflow=workflow, on_error="passthrough") as way:
        path = f"/stream/{way.name}/params"
        await feed(way, 0, 2)
        await way.came(20)
        refused: list[tuple[dict[str, Any], str]] = [
            ({"on_error": "ignore"}, "on_error"),
            ({"params": {"on_error_after": 0}}, "params.on_error_after"),
        ]
        for wrong, field in refused:
            code, answer = await asyncio.to_thread(pool.post, path, wrong)
            assert (code, answer["field"]) == (400, field)
        change = {"on_error": "stop", "on_error_after": 15}
        code, answer = await asyncio.to_thread(pool.post, path, change)
        assert (code, answer["revision"], answer["ignored"]) == (200, 1, [])
        await feed(way, 2, 3, comes=False)
        await way.over()
        status = await way.shows(lambda s: not s["running"])
        frames = way.check(numbered(CLIP)[:20])
    assert [is_marked(f) for f in frames] == [False] * 10 + [True] * 10
    assert (status["node_errors"], status["params_revision"]) == (15, 1)
    check_error(status["last_error"], "RogueRaiseAlways", "(15 frames in a row)")
