"""Sources that are no video: accepted (nobody can know yet), then said on the status, then over."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator

import psutil
import pytest
from aiohttp import web

from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import CLOCK, ElementaryStream
from comfytrickle.testsrc.aac import Tone
from comfytrickle.testsrc.clip import AUDIO_PID, STREAMS, VIDEO_PID
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.server import TrickleServer
from tests.support.channel import scripted_server
from tests.support.live import Api, Live, consecutive
from tests.support.pool import Pool, free_port, running_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


def noise(segments: int, size: int = 40_000) -> list[bytes]:
    rng = random.Random(7)
    return [rng.randbytes(size) for _ in range(segments)]


def text(segments: int) -> list[bytes]:
    line = json.dumps({"event": {"type": "status", "state": "ONLINE"}}) + "\n"
    return [line.encode() * 3 for _ in range(segments)]


def sound(seconds: int = 4) -> list[bytes]:
    muxer, tone = Muxer([STREAMS["aac"]]), Tone(CLOCK)
    return [
        muxer.tables()
        + b"".join(muxer.write(AUDIO_PID, s.data, s.pts) for s in tone.until((i + 2) * CLOCK))
        for i in range(seconds)
    ]


def other_codec(stream_type: int) -> list[bytes]:
    """A transport stream whose video is announced as something else than it could be."""
    muxer = Muxer([ElementaryStream(VIDEO_PID, stream_type, "video", None)])
    rng = random.Random(stream_type)
    out = []
    for segment in range(4):
        data = muxer.tables()
        for frame in range(10):
            pts = CLOCK + (segment * 10 + frame) * CLOCK // 30
            data += muxer.write(VIDEO_PID, rng.randbytes(900), pts, keyframe=frame == 0)
        out.append(data)
    return out


async def check_given_up(api: Api, live: Live, name: str, pid: int, said: list[str]) -> None:
    status = await api.wait(name, lambda s: not s["running"])
    assert (status["state"], status["health"]) == ("exited", "failed")
    error = status["last_error"]
    assert error["kind"] == "source" and error["time"] and error["node_id"] is None
    assert all(part in error["message"] for part in said), error["message"]
    assert "ERROR" in error["log_tail"] and error["message"] in error["log_tail"]
    logged = (await api.get(f"/stream/{name}/logs"))[1]
    assert any(" ERROR " in line and said[0] in line for line in logged.splitlines())
    assert status["frames"]["out"] == 0 and status["exit_code"] == 1
    assert not psutil.pid_exists(pid)
    assert (await api.get("/health"))[1]["slots"] == {"total": 2, "free": 2}
    assert not await live.has_channel("out")


@pytest.mark.parametrize(
    ("segments", "mime", "said"),
    [
        pytest.param(noise(4), "video/MP2T", ["not an MPEG transport stream"], id="noise"),
        pytest.param(noise(1, 3 << 20), "video/MP2T", ["transport stream"], id="a-lot-of-noise"),
        pytest.param(
            text(4), "application/json", ["not an MPEG", "application/json"], id="json-lines"
        ),
        pytest.param(other_codec(0x33), "video/MP2T", ["no video", "0x33"], id="vvc"),
    ],
)
async def test_a_channel_that_was_no_video(
    api: Api, live: Live, segments: list[bytes], mime: str, said: list[str]
) -> None:
    pid = (await api.start("odd", live.url("in"), live.url("out")))["pid"]
    publisher = await live.put("in", segments, mime)
    await api.wait("odd", lambda s: (s["bytes"]["in"] or 0) > 0)
    await publisher.close()
    await check_given_up(api, live, "odd", pid, said)


@pytest.mark.parametrize(
    ("segment", "said"),
    [
        pytest.param(noise(1)[0], ["not an MPEG transport stream"], id="noise"),
        pytest.param(other_codec(0x33)[0], ["no video", "0x33"], id="vvc"),
    ],
)
async def test_a_channel_that_goes_on_and_is_no_video(
    api: Api, live: Live, segment: bytes, said: list[str]
) -> None:
    pid = (await api.start("odd", live.url("in"), live.url("out")))["pid"]
    async with Publisher(live.session, live.url("in")) as publisher:
        ended = asyncio.create_task(check_given_up(api, live, "odd", pid, said))
        while not ended.done():
            await publisher.begin()
            await publisher.write(segment)
            await asyncio.wait([ended], timeout=0.2)
        await ended


async def test_a_stop_before_anything_was_understood_is_no_failure(api: Api, live: Live) -> None:
    await api.start("odd", live.url("in"), live.url("out"))
    publisher = await live.put("in", noise(1))
    await api.wait("odd", lambda s: (s["bytes"]["in"] or 0) > 0)
    assert (await api.post("/stream/odd/stop"))[0] == 200
    status = await api.status("odd")
    assert (status["health"], status["exit_cause"]) == ("ended", "requested")
    assert status["last_error"] is None
    await publisher.close()


async def test_a_source_that_cannot_be_reached(api: Api, live: Live) -> None:
    """It is tried for as long as the caller likes; the status says why nothing comes."""
    port = free_port()
    async with live.source("in") as source, live.viewer("out") as viewer:
        await api.start("other", live.url("in"), live.url("out"))
        await api.start("lost", f"http://127.0.0.1:{port}/in", live.url("lost-out"))
        status = await api.wait("lost", lambda s: s["last_error"] and s["pipeline_ready"])
        error = status["last_error"]
        assert error["kind"] == "source" and f":{port}/in" in error["message"]
        assert status["running"] and status["health"] == "waiting"
        assert status["source"] in ("connecting", "retrying")
        assert f":{port}/in" in (await api.get("/stream/lost/logs"))[1]
        # A host that does not exist, too.
        assert (await api.post("/stream/lost/stop"))[0] == 200
        await api.start("lost", "http://no-such-host.invalid/in", live.url("lost-out"))
        status = await api.wait("lost", lambda s: s["last_error"] is not None)
        assert "no-such-host.invalid" in status["last_error"]["message"]
        pid = status["pid"]
        assert (await api.post("/stream/lost/stop"))[0] == 200
        ended = await api.status("lost")
        assert (ended["health"], ended["exit_cause"]) == ("ended", "requested")
        assert not psutil.pid_exists(pid)
        assert (await api.get("/health"))[1]["slots"] == {"total": 2, "free": 1}
        await api.wait("other", lambda s: (s["frame_count"] or 0) > 10)
        last = await source.end()
        await viewer.finished()
    consecutive(await asyncio.to_thread(viewer.counters), last)


async def test_a_sink_that_cannot_be_reached_yet(api: Api, live: Live) -> None:
    """It is tried on, and the status says why nothing comes out; later it goes on by itself."""
    port = free_port()
    late = TrickleServer()
    async with live.source("in"):
        await api.start("s", live.url("in"), f"http://127.0.0.1:{port}/out")
        status = await api.wait("s", lambda s: s["last_error"] and s["health"] == "degraded")
        assert (status["running"], status["sink"]) == (True, "retrying")
        assert status["last_error"]["kind"] == "sink"
        assert f":{port}/out" in status["last_error"]["message"]
        assert f":{port}/out" in (await api.get("/stream/s/logs"))[1]
        try:
            await late.start(port=port)
            status = await api.wait("s", lambda s: (s["frame_count"] or 0) > 10)
            assert status["sink"] == "live" and await Live(late, live.session).has_channel("out")
            assert (await api.post("/stream/s/stop"))[0] == 200
        finally:
            await late.close()


@pytest.mark.parametrize("side", ["source", "sink"])
async def test_a_channel_that_is_refused(api: Api, live: Live, side: str) -> None:
    async def forbid(_request: web.Request) -> web.Response:
        return web.Response(status=403, text="not you")

    async with scripted_server(forbid) as server, live.source("in"):
        urls = {"source": live.url("in"), "sink": live.url("out"), side: server + "/x"}
        pid = (await api.start("no", urls["source"], urls["sink"]))["pid"]
        status = await api.wait("no", lambda s: not s["running"])
        assert (status["health"], status["last_error"]["kind"]) == ("failed", side)
        assert "403" in status["last_error"]["message"]
        assert server in status["last_error"]["message"]
        assert not psutil.pid_exists(pid)
        assert (await api.get("/health"))[1]["slots"]["free"] == 2


async def test_a_source_server_that_comes_late_is_read(api: Api, live: Live) -> None:
    late = TrickleServer()
    port = free_port()
    await api.start("late", f"http://127.0.0.1:{port}/in", live.url("out"))
    await api.wait("late", lambda s: s["last_error"] is not None)
    try:
        await late.start(port=port)
        elsewhere = Live(late, live.session)
        async with live.viewer("out") as viewer, elsewhere.source("in") as source:
            status = await api.wait("late", lambda s: (s["frame_count"] or 0) > 10)
            assert status["source"] == "live"
            last = await source.end()
            await viewer.finished()
        consecutive(await asyncio.to_thread(viewer.counters), last)
    finally:
        await late.close()
