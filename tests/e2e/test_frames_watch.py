"""Looking at a live stream: snapshot, preview, WebSocket; several viewers, a worker that dies."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from comfytrickle.testsrc import counter
from tests.support import clips
from tests.support.frame_sockets import FrameSocket, Watching, picture, pixels, watching
from tests.support.live import Live
from tests.support.pool import Pool, running_pool
from tests.support.streams import example

INVERT = example("invert")


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


@pytest.fixture
async def watch(shared_pool: Pool) -> AsyncIterator[Watching]:
    async with watching(shared_pool) as clients:
        yield clients


@contextlib.asynccontextmanager
async def live_stream(watch: Watching, live: Live) -> AsyncIterator[int]:
    """The test pattern, inverted, over trickle; the worker's pid."""
    async with live.source("in"):
        started = await watch.start(
            "s",
            subscribe_url=live.url("in"),
            publish_url=live.url("out"),
            params={"prompt": INVERT},
        )
        await watch.shows("s", lambda s: s["frame_count"])
        yield started["pid"]


def grows(numbers: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(numbers))


async def test_snapshots(watch: Watching, live: Live) -> None:
    async with live_stream(watch, live):
        seen = {}
        for query in ("", "?side=in", "?side=both", "?width=96&quality=60"):
            async with watch.session.get(watch.url("s", "snapshot.jpg" + query)) as reply:
                assert reply.status == 200 and reply.content_type == "image/jpeg"
                assert reply.headers["Cache-Control"] == "no-store"
                seen[query] = pixels(await reply.read())
    size = (clips.HEIGHT, clips.WIDTH)
    assert seen[""].shape[:2] == size and counter.is_inverted(seen[""])
    assert seen["?side=in"].shape[:2] == size and not counter.is_inverted(seen["?side=in"])
    assert counter.read(seen[""]) is not None and counter.read(seen["?side=in"]) is not None
    both = seen["?side=both"]
    assert both.shape[:2] == (clips.HEIGHT, 2 * clips.WIDTH)
    left, right = both[:, : clips.WIDTH], both[:, clips.WIDTH :]
    assert counter.read(left) == counter.read(right), "of one and the same frame"
    assert not counter.is_inverted(left) and counter.is_inverted(right)
    assert seen["?width=96&quality=60"].shape[:2] == (64, 96)


async def test_what_cannot_be_watched(watch: Watching, live: Live) -> None:
    started = await watch.start("quiet")
    for path, status, said in [
        ("none/snapshot.jpg", 404, "no stream 'none'"),
        ("none/preview.mjpg", 404, "no stream 'none'"),
        ("none/frames", 404, "no stream 'none'"),
        ("quiet/snapshot.jpg?side=above", 400, "side"),
        ("quiet/snapshot.jpg?width=8", 400, "width"),
        ("quiet/preview.mjpg?fps=0", 400, "fps"),
        ("quiet/preview.mjpg?fps=61", 400, "fps"),
        ("quiet/frames?quality=101", 400, "quality"),
        ("quiet/snapshot.jpg", 409, "its source waiting"),
    ]:
        async with watch.session.get(f"{watch.pool.url}/stream/{path}") as reply:
            answer = await reply.json()
        assert reply.status == status and said in answer["error"], (path, answer)
    assert (await watch.status("quiet"))["pid"] == started["pid"]
    await watch.session.post(watch.url("quiet", "stop?wait=30"))
    for call in ("snapshot.jpg", "preview.mjpg", "frames"):
        async with watch.session.get(watch.url("quiet", call)) as reply:
            assert reply.status == 409 and "has ended" in (await reply.json())["error"]


async def parts(reply: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Of a multipart answer, by the length that each says."""
    boundary = re.fullmatch(r"multipart/x-mixed-replace; boundary=(\w+)",
                            reply.headers["Content-Type"])  # fmt: skip
    assert boundary
    line = b"--" + boundary[1].encode() + b"\r\n"
    assert await reply.content.readexactly(len(line)) == line
    while True:
        head = (await reply.content.readuntil(b"\r\n\r\n")).decode()
        if not head:
            return
        assert "Content-Type: image/jpeg" in head
        length = re.search(r"Content-Length: (\d+)", head)
        assert length
        yield await reply.content.readexactly(int(length[1]))
        assert await reply.content.readexactly(len(line) + 2) == b"\r\n" + line


async def test_a_preview_goes_on_to_the_streams_end(watch: Watching, live: Live) -> None:
    async with live_stream(watch, live):
        counters = []
        async with watch.session.get(watch.url("s", "preview.mjpg?side=in&fps=30")) as reply:
            assert reply.status == 200
            async for jpeg in parts(reply):
                counters.append(counter.read(pixels(jpeg)))
                if len(counters) == 10:
                    await watch.session.post(watch.url("s", "stop?wait=0"))
        assert len(counters) >= 10 and None not in counters
        assert grows([n for n in counters if n is not None])


async def test_four_viewers_each_see_what_they_asked_for(watch: Watching, live: Live) -> None:
    async with contextlib.AsyncExitStack() as stack:
        pid = await stack.enter_async_context(live_stream(watch, live))
        queries = (
            "side=out&fps=30",
            "side=in&fps=30&width=96",
            "side=both&fps=5",
            "side=out&fps=5",
        )
        sockets = [await stack.enter_async_context(watch.socket("s", q)) for q in queries]
        out, source, both, slow = sockets
        await both.sees(5)
        await slow.sees(5)
        for client, side in zip(sockets, (1, 0, 2, 1), strict=True):
            assert {shown.side for shown in client.shown} == {side}
            halves = 2 if side == 2 else 1
            assert None not in [
                counter.read(shown.rgb[:, : shown.size[0] // halves]) for shown in client.shown
            ]
            assert grows([shown.seq for shown in client.shown])
            assert grows([shown.pts for shown in client.shown])
            assert {shown.flags for shown in client.shown} == {0}
        assert counter.is_inverted(out.shown[-1].rgb)
        assert not counter.is_inverted(source.shown[-1].rgb)
        assert len(out.shown) > 2 * len(slow.shown), "five a second of thirty"
        assert (await watch.status("s"))["pid"] == pid
    # The widest wish counts for all.
    assert out.shown[-1].size == source.shown[-1].size == (clips.WIDTH, clips.HEIGHT)
    assert both.shown[-1].size == (2 * clips.WIDTH, clips.HEIGHT)


async def test_a_viewer_does_not_notice_a_restart(watch: Watching, live: Live) -> None:
    async with (
        live_stream(watch, live) as pid,
        watch.socket("s", "fps=30") as viewer,
    ):
        await viewer.sees(10)
        os.kill(pid, signal.SIGKILL)
        await watch.shows("s", lambda s: s["restarts"] == 1 and s["pid"] not in (None, pid))
        before = len(viewer.shown)
        await viewer.sees(before + 15)
        assert viewer.words == []
        numbers = [shown.counter for shown in viewer.shown]
        assert None not in numbers and grows([n for n in numbers if n is not None])
        assert grows([shown.seq for shown in viewer.shown])
        assert grows([shown.pts for shown in viewer.shown])
        await watch.session.post(watch.url("s", "stop?wait=0"))
        await viewer.closed()
        assert viewer.words == [{"type": "ended", "state": "exited"}]
        assert viewer.ws.close_code == 1000


async def test_a_viewer_that_does_not_read_misses_pictures_and_holds_up_nobody(
    watch: Watching, live: Live
) -> None:
    big = clips.spec(640, 480)
    async with live.source("in", big):
        await watch.start("s", subscribe_url=live.url("in"), publish_url=live.url("out"))
        async with (
            watch.socket("s", "fps=30&quality=100", lazy=True) as slow,
            watch.socket("s", "fps=30&quality=100") as quick,
        ):
            assert isinstance(slow, FrameSocket)
            await quick.sees(120)
            slow.read()
            await slow.until(lambda: slow.shown and slow.shown[-1].seq >= quick.shown[-1].seq - 3)
            steps = [b.seq - a.seq for a, b in itertools.pairwise(slow.shown)]
            assert max(steps) > 5, "it was not sent what it had no time for"
            assert len(slow.shown) < len(quick.shown)
            numbers = [shown.counter for shown in quick.shown]
            assert None not in numbers
            status = await watch.status("s")
            assert status["frames"]["dropped"] == {} and status["health"] == "ok"


async def test_nobody_watches_any_more(watch: Watching) -> None:
    """The pictures cease a moment after the last viewer left, and come back with the next one."""
    await watch.start("cam")
    async with watch.camera("cam", "side=none"):
        async with watch.socket("cam") as viewer:
            await viewer.sees(5)
            last = viewer.shown[-1]
        seen = (await watch.status("cam"))["frame_count"]
        await watch.shows("cam", lambda s: s["frame_count"] > seen + 45)
        async with watch.socket("cam") as viewer:
            await viewer.sees(5)
            # While nobody looked no picture was counted, let alone made.
            assert viewer.shown[0].seq - last.seq < 35
            assert viewer.shown[0].counter is not None
            assert viewer.shown[0].counter > (last.counter or 0) + 40
    assert picture(0).shape == viewer.shown[0].rgb.shape
