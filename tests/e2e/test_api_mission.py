"""The four calls that everything begins with, as any HTTP client would make them, on live video."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psutil
import pytest

from tests.support import clips
from tests.support.live import Api, Live, consecutive
from tests.support.pool import Pool, running_pool

PASS_THROUGH = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
}
INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}
LIVE_S = 20.0


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:3") as pool:
        yield pool


def request_for(live: Live, stream_id: str, workflow: dict[str, Any]) -> dict[str, Any]:
    return {
        "subscribe_url": live.url("in"),
        "publish_url": live.url(stream_id),
        "gateway_request_id": stream_id,
        "params": {"width": 512, "height": 512, "prompt": json.dumps(workflow)},
    }


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def quantiles(value: Any) -> bool:
    ordered = 0 < value["p50"] <= value["p95"] <= value["p99"] < 60_000
    return bool(ordered) and value.keys() == {"p50", "p95", "p99"}


def check_live_status(status: dict[str, Any], stream_id: str, live: Live) -> None:
    """Every field of a stream that is running well, each with a value that can be true."""
    assert status["request_id"] == stream_id
    assert (status["running"], status["state"], status["health"]) == (True, "streaming", "ok")
    assert status["pipeline_ready"] is True and psutil.pid_exists(status["pid"])
    assert status["device"].startswith("cpu:")
    started = datetime.fromisoformat(status["started_at"].replace("Z", "+00:00"))
    age = datetime.now(started.tzinfo) - started
    assert 0 <= status["uptime_s"] <= age.total_seconds() < 600
    assert (status["width"], status["height"]) == (512, 512)
    assert status["subscribe_url"] == live.url("in")
    assert status["publish_url"] == live.url(stream_id)
    assert [status[k] for k in ("control_url", "events_url", "data_url")] == [None] * 3
    frames = status["frames"]
    assert whole(frames["in"]) and whole(frames["out"]) and frames["dropped"] == {}
    assert status["frame_count"] == frames["out"] <= frames["in"]
    assert 20 < status["fps"]["in"] < 40 and 20 < status["fps"]["out"] < 40
    assert status["latency_ms"].keys() == {"decode", "engine", "encode", "total"}
    assert all(quantiles(part) for part in status["latency_ms"].values())
    counts = {"in": 0, "out": 0, "silence": 0, "unheard": 0}
    assert status["audio"] == {**counts, "dropped": {}}  # counted: there is none
    assert whole(status["segments"]["in"]) and whole(status["segments"]["out"])
    assert status["segments"]["lost"] == 0
    assert whole(status["bytes"]["in"]) and whole(status["bytes"]["out"])
    assert 1e6 < status["memory"]["rss"] < 4e9 and status["memory"]["device"] is None
    assert (status["params_revision"], status["restarts"], status["node_errors"]) == (0, 0, 0)
    assert (status["source"], status["sink"]) == ("live", "live")
    assert status["exit_cause"] is status["exit_code"] is status["ended_at"] is None
    assert status["last_error"] is None


@pytest.mark.realtime
async def test_twenty_seconds_of_live_video_without_a_frame_lost(api: Api, live: Live) -> None:
    """512x512 at 30 fps through the default workflow and an inverting one, side by side."""
    names = {"plain": PASS_THROUGH, "inverted": INVERT}
    async with live.viewer("plain") as plain, live.viewer("inverted") as inverted:
        for name, workflow in names.items():
            status, answer = await api.post("/stream/start", request_for(live, name, workflow))
            assert status == 200, answer
            assert answer["status"] == "success" and answer["message"]
            assert answer["request_id"] == name
            assert answer["config"] == {
                "subscribe_url": live.url("in"),
                "publish_url": live.url(name),
                "control_url": None,
                "events_url": None,
                "data_url": None,
                "width": 512,
                "height": 512,
            }
            assert answer["state"] in ("starting", "loading", "ready")
            assert psutil.pid_exists(answer["pid"]) and answer["device"].startswith("cpu:")
            await api.wait(name, lambda s: s["pipeline_ready"])
        async with live.source("in", clips.spec(512, 512, gop=30, crf=23.0)) as source:
            await asyncio.sleep(LIVE_S / 2)  # the pace is the source's own: this is what is tested
            for name in names:
                check_live_status(await api.status(name), name, live)
            listed = (await api.get("/streams"))[1]
            assert listed.keys() == {"streams", "count"} and listed["count"] == 2
            assert list(listed["streams"]) == list(names)
            assert listed["streams"]["plain"].keys() == (await api.status("plain")).keys()
            await asyncio.sleep(LIVE_S / 2)
            last = await source.end()
        await plain.finished()
        await inverted.finished()
        assert last >= 0.8 * LIVE_S * 30
        for name, viewer in (("plain", plain), ("inverted", inverted)):
            frames = await asyncio.to_thread(viewer.frames)
            consecutive([frame.counter for frame in frames], last)
            assert {frame.inverted for frame in frames} == {name == "inverted"}
            assert {frame.size for frame in frames} == {(512, 512)}
            assert frames[0].counter == 0
            ended = await api.wait(name, lambda s: not s["running"])
            assert ended["exit_cause"] == "source_ended" and ended["health"] == "ended"
            counted = {"in": last + 1, "out": last + 1, "dropped": {}, "passed_through": 0}
            assert ended["frames"] == counted
            assert not await live.has_channel(name)


async def test_stop_ends_the_published_stream_whole(api: Api, live: Live) -> None:
    async with live.viewer("halt") as viewer, live.source("in"):
        answer = await api.start("halt", live.url("in"), live.url("halt"))
        before = await api.wait("halt", lambda s: (s["frame_count"] or 0) > 30)
        assert before["width"] == clips.WIDTH and before["height"] == clips.HEIGHT
        status, said = await api.post("/stream/halt/stop?wait=30")
        assert (status, said["status"], said["message"]) == (200, "success", "stream stopped")
        assert not psutil.pid_exists(answer["pid"])
        await viewer.finished()
        counters = await asyncio.to_thread(viewer.counters)
        consecutive(counters)
        after = await api.status("halt")
        assert after["frame_count"] == len(counters) >= before["frame_count"]
        assert after["exit_cause"] == "requested" and not after["running"]
        assert not await live.has_channel("halt")
        assert (await api.get("/streams"))[1] == {"streams": {}, "count": 0}
        assert (await api.get("/health"))[1]["slots"] == {"total": 3, "free": 3}


async def test_what_is_not_known_is_null(api: Api, live: Live) -> None:
    """A stream whose source does not exist yet has made no measurement."""
    await api.start("early", live.url("nowhere"), live.url("early"))
    status = await api.wait("early", lambda s: s["pipeline_ready"] and s["source"] == "waiting")
    assert status["health"] == "waiting" and status["running"]
    assert status["latency_ms"] == dict.fromkeys(("decode", "engine", "encode", "total"))
    assert status["fps"] == {"in": None, "out": None}
    assert (status["width"], status["height"]) == (None, None)
    assert status["memory"]["device"] is None and status["memory"]["rss"] > 0
    # counted, and none came
    assert status["frames"] == {"in": 0, "out": 0, "dropped": {}, "passed_through": 0}
    assert status["detail"]["codec_in"] is None
