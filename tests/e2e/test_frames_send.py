"""A stream without channels: frames in over a WebSocket, pictures out of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import numpy as np
import pytest

from comfytrickle.testsrc import counter
from tests.support.frame_sockets import (
    HEIGHT,
    RAW,
    WIDTH,
    FrameSocket,
    Watching,
    jpeg,
    message,
    numbered,
    picture,
    watching,
)
from tests.support.live import Live, consecutive
from tests.support.pool import Pool, running_pool
from tests.support.streams import example

INVERT = {"prompt": example("invert")}


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


@pytest.fixture
async def watch(shared_pool: Pool) -> AsyncIterator[Watching]:
    async with watching(shared_pool) as clients:
        yield clients


async def test_camera_in_picture_out(watch: Watching) -> None:
    await watch.start("cam", params=INVERT)
    async with watch.socket("cam") as client:
        await client.accepted(numbered(0))
        for n in range(1, 30):
            await client.accepted(numbered(n))
            await client.until(lambda n=n: client.shown and client.shown[-1].at == n, f"frame {n}")
        assert [shown.counter for shown in client.shown][-29:] == list(range(1, 30))
        for shown in client.shown:
            assert shown.counter == shown.at and shown.pts == shown.at * 6000
            assert shown.side == 1 and counter.is_inverted(shown.rgb)
        status = await watch.shows("cam", lambda s: s["frame_count"] == s["frames"]["in"] >= 30)
        assert status["subscribe_url"] is None and status["publish_url"] is None
        assert (status["source"], status["sink"], status["health"]) == ("live", "none", "ok")
        assert status["detail"]["encoder"] is None and status["detail"]["codec_in"] == "jpeg"
        assert status["latency_ms"]["encode"] is None and status["latency_ms"]["total"] is not None
        assert status["frames"]["dropped"] == {}
        await client.ws.send_str(json.dumps({"type": "end"}))
        await client.closed()
        assert client.words[-1] == {"type": "ended", "state": "exited"}
    status = await watch.status("cam")
    assert status["exit_cause"] == "source_ended" and status["health"] == "ended"


async def test_every_frame_is_published_with_its_time(watch: Watching, live: Live) -> None:
    await watch.start("cam", publish_url=live.url("out"), params={**INVERT, "drop": "never"})
    async with live.viewer("out") as viewer, watch.socket("cam", "side=none") as client:
        for n in range(60):
            await client.ws.send_bytes(numbered(n))
        await client.told("accepted", 60)
        assert [words["seq"] for words in client.words] == list(range(60)), "each, in order"
        await client.ws.send_str(json.dumps({"type": "end"}))
        await client.closed()
        await viewer.finished()
        assert client.shown == []
    frames = await asyncio.to_thread(viewer.frames)
    consecutive([frame.counter for frame in frames], 59)  # a reader begins with a segment
    assert all(frame.inverted for frame in frames)
    status = await watch.status("cam")
    assert status["frames"] == {"in": 60, "out": 60, "dropped": {}, "passed_through": 0}
    assert status["detail"]["encoder"] == "libx264" and status["exit_cause"] == "source_ended"


async def test_raw_frames_and_sizes_that_change(watch: Watching) -> None:
    await watch.start("cam")
    async with watch.socket("cam") as client:
        sizes = [(WIDTH, HEIGHT), (320, 180), (98, 130), (641, 479)]
        await client.accepted(numbered(0))
        for n, (width, height) in enumerate(sizes * 2, start=1):
            rgb = np.ascontiguousarray(picture(n, width, height))
            data = message(rgb.tobytes(), seq=n, kind=RAW, at=n, size=(width, height))
            if n > len(sizes):
                data = message(jpeg(rgb), seq=n, at=n)
            await client.accepted(data)
            await client.until(lambda n=n: client.shown and client.shown[-1].at == n, f"frame {n}")
            assert client.shown[-1].counter == n
            assert client.shown[-1].size == (WIDTH, HEIGHT), "the first one's stays"
        await watch.shows("cam", lambda s: (s["width"], s["height"]) == (WIDTH, HEIGHT))
        async with watch.session.post(
            watch.url("cam", "params"), json={"width": 128, "height": 96}
        ) as reply:
            assert reply.status == 200, await reply.text()
        await client.accepted(numbered(20))
        await client.until(lambda: client.shown[-1].at == 20)
        assert client.shown[-1].size == (128, 96) and client.shown[-1].counter == 20


def wrong(kind: str) -> tuple[bytes, str, str]:
    """A message, and what is said of it."""
    good = jpeg(picture(3))
    huge = bytearray(good)
    at = good.index(b"\xff\xc0") + 5
    huge[at : at + 4] = b"\xff\xff\xff\xff"
    return {
        "short": (b"CTF1", "frame", "4 bytes"),
        "magic": (message(good, magic=b"JUNK"), "magic", "JUNK"),
        "kind": (message(good, kind=9), "kind", "9"),
        "no jpeg": (message(b"hello"), "payload", "no JPEG"),
        "raw length": (message(b"xy", kind=RAW, size=(64, 64)), "payload", "64 x 64"),
        "raw size": (message(b"", kind=RAW, size=(5000, 64)), "width", "5000"),
        "bomb": (message(bytes(huge)), "width", "65535"),
        "pts": (message(good, pts=-7), "pts", "-7"),
        "bytes": (message(good + bytes(32 << 20)), "payload", "too large"),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["short", "magic", "kind", "no jpeg", "raw length", "raw size", "bomb", "pts", "bytes"],
)
async def test_bad_frames_are_named_and_hurt_nothing(watch: Watching, kind: str) -> None:
    started = await watch.start("cam")
    data, field, said = wrong(kind)
    async with watch.socket("cam") as client:
        await client.accepted(numbered(1))
        answer = await client.send(data)
        assert answer["type"] == "error" and answer["field"] == field, answer
        assert said in answer["message"]
        assert answer["seq"] == (None if kind in ("short", "magic") else 0)
        await client.accepted(numbered(2))
        await client.until(lambda: client.shown and client.shown[-1].at == 2)
        assert client.shown[-1].counter == 2
    status = await watch.status("cam")
    assert status["pid"] == started["pid"] and status["frames"]["dropped"] == {}


async def test_what_only_a_decoder_can_tell_comes_back_by_number(watch: Watching) -> None:
    started = await watch.start("cam")
    good = jpeg(picture(3))
    async with watch.socket("cam") as client:
        await client.accepted(numbered(1))
        for seq, bad in ((70, good[: len(good) // 2]), (71, good[:-300] + good[:300])):
            await client.accepted(message(bad, seq=seq))
        await client.until(
            lambda: sorted(n for w in client.said("refused") for n in w["seqs"]) == [70, 71]
        )
        refused = client.said("refused")
        assert sum(words["count"] for words in refused) == 2
        assert all("cannot be decoded" in words["message"] for words in refused)
        await client.accepted(numbered(2))
        await client.until(lambda: client.shown and client.shown[-1].at == 2)
        assert {shown.at for shown in client.shown} <= {1.0, 2.0}
    status = await watch.shows("cam", lambda s: s["frames"]["dropped"] == {"damaged": 2})
    assert status["pid"] == started["pid"]


async def test_one_sender_at_a_time(watch: Watching, live: Live) -> None:
    await watch.start("cam")
    async with watch.socket("cam", "send=1") as first, watch.socket("cam") as second:
        answer = await second.send(numbered(5))
        assert answer["type"] == "error" and answer["status"] == 409, answer
        assert answer["seq"] == 5 and "has a sender" in answer["message"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await watch.session.ws_connect(watch.url("cam", "frames?send=1"))
        assert refused.value.status == 409
        await first.accepted(numbered(1))
        await second.sees(1)  # it may look on
        await first.end()
        answer = {"type": "error"}
        while answer["type"] == "error":
            answer = await second.send(numbered(2))
        await second.until(lambda: second.shown[-1].at == 2)
    async with live.source("in"):
        await watch.start("s", subscribe_url=live.url("in"), publish_url=live.url("out"))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await watch.session.ws_connect(watch.url("s", "frames?send=1"))
        assert refused.value.status == 409
        async with watch.socket("s") as viewer:
            answer = await viewer.send(numbered(1))
            assert answer["status"] == 409 and "source channel" in answer["message"]
            await viewer.sees(3)


async def test_a_sender_may_go_and_another_one_come(watch: Watching) -> None:
    await watch.start("cam", params={"idle_timeout_s": 30})
    for first in (0, 100):
        async with watch.socket("cam") as client:
            await client.accepted(numbered(first))
            await client.until(lambda first=first: any(s.at == first for s in client.shown))
    assert (await watch.status("cam"))["running"]
    async with watch.socket("cam", "end=1") as client:
        await client.accepted(numbered(200))
    status = await watch.shows("cam", lambda s: not s["running"])
    assert status["exit_cause"] == "source_ended" and status["frames"]["out"] >= 3


async def test_an_idle_camera_ends_the_stream(watch: Watching) -> None:
    await watch.start("cam", params={"idle_timeout_s": 1})
    async with watch.socket("cam") as client:
        await client.accepted(numbered(0))
        await client.closed()
        assert client.words[-1]["type"] == "ended"
    status = await watch.status("cam")
    assert status["exit_cause"] == "source_ended" and "no frame for 1 s" in str(status)


async def test_a_restart_is_survived(watch: Watching) -> None:
    pid = (await watch.start("cam", params=INVERT))["pid"]
    async with watch.camera("cam", fps=20) as client, watch.socket("cam", "side=both") as viewer:
        await client.sees(10)
        os.kill(pid, signal.SIGKILL)
        await watch.shows("cam", lambda s: s["restarts"] == 1 and s["pid"] not in (None, pid))
        last = client.shown[-1]
        await client.until(lambda: client.shown[-1].at > last.at + 15)
        await viewer.until(lambda: viewer.shown[-1].at > last.at + 10)
        numbers: list[Any] = [shown.counter for shown in client.shown]
        assert None not in numbers and numbers == sorted(set(numbers))
        assert [shown.at for shown in client.shown] == numbers
        seqs = [shown.seq for shown in client.shown]
        assert seqs == sorted(set(seqs))
        pts = [shown.pts for shown in client.shown]
        assert pts == sorted(set(pts))
        dropped = {words["reason"] for words in client.said("dropped")}
        assert dropped <= {"loading", "restarting", "busy"}, dropped
        assert client.said("error") == []


async def test_stop_ends_the_connections(watch: Watching) -> None:
    await watch.start("cam")
    async with watch.socket("cam", "side=none&send=1") as sender, watch.socket("cam") as viewer:
        await sender.accepted(numbered(0))
        await viewer.sees(1)
        await watch.session.post(watch.url("cam", "stop?wait=30"))
        for client in (sender, viewer):
            assert isinstance(client, FrameSocket)
            await client.closed()
            assert client.words[-1] == {"type": "ended", "state": "exited"}
    assert (await watch.status("cam"))["exit_cause"] == "requested"
