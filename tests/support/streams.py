"""A stream's whole way in a test: a source that is fed, a running pool, a sink that is read.

    async with open_way(pool, drop="never") as way:
        await way.feed(clip)
        await way.end()
        way.check(numbered(clip))

What comes out is kept byte by byte and decoded with PyAV, each segment alone. While it runs, the
stream's status is looked at again and again, so that a test can say what it showed, and when.
"""

from __future__ import annotations

import asyncio
import functools
import io
import itertools
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp
import av
import numpy as np
import numpy.typing as npt
import psutil

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.units import PTS_MASK
from comfytrickle.testsrc.clip import VIDEO_PID, Clip
from comfytrickle.testsrc.reader import luma, read_frame
from comfytrickle.testsrc.sending import Sent, send
from comfytrickle.testsrc.sources import Chunk
from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.server import TrickleServer
from comfytrickle.trickle.subscriber import Subscriber
from tests.support.pool import ROOT, Pool, free_port
from tests.support.tsstreams import chunked, packets

PATIENCE_S = 60.0  # for what must come; a busy machine is slow
LOOK_S = 0.2  # between two looks at the status
# Health may say ok for so long after the last frame: 3 s until a source counts as silent, 5 s until
# an output counts as late, a status that is sent twice a second, and a busy machine.
OK_LINGERS_S = 7.0

PACKET = 188
Frame = tuple[int, int]  # counter, pts (33 bits)


def example(name: str) -> dict[str, Any]:
    """A workflow of the examples folder."""
    text = (ROOT / "examples" / "workflows" / f"{name}.json").read_text()
    return dict(json.loads(text))


async def until(condition: Callable[[], object], what: str, patience: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        await asyncio.sleep(0.01)


def numbered(clip: Clip, without: Iterable[int] = ()) -> list[Frame]:
    """(counter, pts) of a clip's frames, but for those counters."""
    gone = set(without)
    return [
        (n, pts)
        for segment in clip.segments
        for n, pts in zip(segment.counters, segment.pts, strict=True)
        if n not in gone
    ]


def frames_of(data: bytes) -> list[bytes]:
    """A segment of a test clip cut before each video frame; tables stay with the first one."""
    starts = [
        at
        for at in range(0, len(data), PACKET)
        if data[at + 1] & 0x40 and (data[at + 1] & 0x1F) << 8 | data[at + 2] == VIDEO_PID
    ]
    edges = [0, *starts[1:], len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def remuxed(data: bytes) -> bytes:
    """The same packets as libavformat writes them: video in PES packets of unknown length, tables
    again and again, counters from zero."""
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(data), "r", format="mpegts") as given,
        av.open(out, "w", format="mpegts", options={"mpegts_copyts": "1"}) as made,
    ):
        streams = {s.index: made.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    return out.getvalue()


@dataclass
class OutFrame:
    """One decoded frame of the sink."""

    counter: int | None
    pts: int
    luma: npt.NDArray[np.uint8]  # [height, width]

    @property
    def size(self) -> tuple[int, int]:
        return self.luma.shape[1], self.luma.shape[0]


@dataclass
class OutSegment:
    seq: int
    gap: bool
    data: bytearray = field(default_factory=bytearray)

    def decode(self) -> list[OutFrame]:
        """All frames, with nothing known but this segment. Asserts that it begins as it must."""
        data = bytes(self.data)
        assert len(data) % PACKET == 0 and set(data[::PACKET]) == {0x47}
        # after a gap in time there may be packets with nothing but the clock
        heads = [data[at : at + 4] for at in range(0, len(data), PACKET) if data[at + 3] & 0x10]
        pids = [(head[1] & 0x1F) << 8 | head[2] for head in heads[:3]]
        assert pids[0] == 0 and pids[1] >= 0x1000 and pids[2] == 0x100, f"PAT, PMT, video: {pids}"
        assert all(head[1] & 0x40 for head in heads[:3]), "each begins there"
        units = packets(data)
        nals = [part[0] & 0x1F for part in units[0].data.split(b"\0\0\1")[1:]]
        picture = next(i for i, nal in enumerate(nals) if 1 <= nal <= 5)
        assert nals[picture] == 5 and {7, 8} <= set(nals[:picture]), f"NAL units {nals}"
        assert not any(unit.keyframe for unit in units[1:]), "a keyframe begins a segment"
        with av.open(io.BytesIO(data), "r", format="mpegts") as container:
            frames = [
                OutFrame(read_frame(frame), frame.pts & PTS_MASK, luma(frame).copy())
                for frame in container.decode(video=0)
                if frame.pts is not None
            ]
        assert len(frames) == len(units), "every access unit is a picture"
        return frames


class Sink:
    """Reads a channel from its first segment to its end."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.segments: list[OutSegment] = []
        self.arrivals: list[float] = []  # time.monotonic() of each video frame's last byte
        self.subscriber = Subscriber(session, url, start=0)
        self.task = asyncio.create_task(self._read())

    @property
    def frames(self) -> int:
        return len(self.arrivals)

    @property
    def data(self) -> bytes:
        return b"".join(bytes(segment.data) for segment in self.segments)

    async def _read(self) -> None:
        demuxer = Demuxer()  # counts only; what is checked is decoded by PyAV
        async with self.subscriber:
            async for segment in self.subscriber:
                got = OutSegment(segment.seq, segment.gap)
                self.segments.append(got)
                if segment.gap:
                    demuxer.discontinuity()
                async for chunk in segment:
                    got.data += chunk
                    now = time.monotonic()
                    units = demuxer.feed(chunk, now)
                    self.arrivals += [now for unit in units if unit.stream.kind == "video"]

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    def decode(self) -> list[OutFrame]:
        """Every frame. Asserts that segments decode alone, and that time only goes on."""
        frames = [frame for segment in self.segments for frame in segment.decode()]
        steps = [(b.pts - a.pts) & PTS_MASK for a, b in itertools.pairwise(frames)]
        assert all(0 < step < 1 << 32 for step in steps), f"timestamps: {steps}"
        return frames


@dataclass
class Look:
    """What the status said at one moment."""

    at: float  # time.monotonic()
    status: dict[str, Any]


class Way:
    """One stream from its source to its sink. Made by open_way."""

    def __init__(
        self, pool: Pool, session: aiohttp.ClientSession, name: str, source: Publisher, sink: Sink
    ) -> None:
        self.pool = pool
        self.name = name
        self.source = source
        self.sink = sink
        self.looks: list[Look] = []
        self._session = session
        self._due = 0  # frames that are to come of what was fed so far
        self._watching = asyncio.create_task(self._watch())

    # --- status ---

    async def status(self) -> dict[str, Any]:
        url = f"{self.pool.url}/stream/{quote(self.name, safe='')}/status"
        async with self._session.get(url) as reply:
            answer = await reply.json()
            assert reply.status == 200, answer
        return dict(answer)

    async def stop_watching(self) -> None:
        """Raises what went wrong with it."""
        self._watching.cancel()
        await asyncio.wait({self._watching})
        if not self._watching.cancelled():
            self._watching.result()

    async def _watch(self) -> None:
        while True:
            self.looks.append(Look(time.monotonic(), await self.status()))
            await asyncio.sleep(LOOK_S)

    async def shows(
        self, wanted: Callable[[dict[str, Any]], object], patience: float = PATIENCE_S
    ) -> dict[str, Any]:
        """The first status from now on for which ``wanted`` holds."""
        deadline = time.monotonic() + patience
        while not wanted(status := await self.status()):
            assert time.monotonic() < deadline, f"not in {patience} s: {json.dumps(status)}"
            await asyncio.sleep(0.05)
        return status

    def said(self, key: str, since: float = 0.0, until: float = float("inf")) -> set[Any]:
        """All values that the status had under ``key`` in that time (time.monotonic())."""
        return {look.status[key] for look in self.looks if since <= look.at <= until}

    # --- feeding ---

    async def segment(self, data: bytes, frames: int, seed: int = 0) -> None:
        """One more segment, in pieces of odd sizes; ``frames`` of it are expected to come out.

        Waits until something of it has come out. Without a clock there is no other measure: a
        reader that begins does so at the current segment, one that falls behind loses segments,
        and of two segments in a hurry the later one may come to the server first.
        """
        await self.source.begin()
        for piece in chunked(data, seed, 5000):
            await self.source.write(piece)
        if frames:
            await self.came(self._due + 1)
        self._due += frames

    async def live(
        self,
        chunks: Sequence[Chunk],
        on_write: Callable[[Chunk], None] | None = None,
    ) -> None:
        """``chunks``, each when it is due. Between two calls the last segment stays open."""
        await send(self.source, iter(chunks), Sent(), realtime=True, before_write=on_write)

    async def feed(self, clip: Clip, lost: Iterable[int] = ()) -> None:
        """A clip's segments, as fast as they are taken. ``lost``: counters not to wait for."""
        gone = set(lost)
        for number, segment in enumerate(clip.segments):
            frames = sum(n not in gone for n in segment.counters)
            await self.segment(segment.data, frames, seed=number)

    async def came(self, frames: int, patience: float = PATIENCE_S) -> None:
        """Until so many frames are in the sink."""
        deadline = time.monotonic() + patience
        while self.sink.frames < frames:
            if self.sink.task.done():
                self.sink.task.result()
                raise AssertionError(f"the sink ended after {self.sink.frames} frames")
            if time.monotonic() > deadline:
                status = json.dumps(await self.status())
                raise AssertionError(f"{self.sink.frames} frames of {frames} came: {status}")
            await asyncio.sleep(0.005)

    # --- the end ---

    async def end(self) -> dict[str, Any]:
        """End the source; the stream then ends by itself, in order. Its last status.

        A channel that is deleted takes along what was not read of it: first everything has to be.
        """
        await self.source_is_read()
        await self.source.close()
        await self.over()
        return self._ended_well(await self.shows(lambda s: not s["running"]))

    async def source_is_read(self) -> None:
        """Until every byte that was fed has come in."""
        fed = self.source.counters.bytes
        await self.shows(lambda s: s["bytes"]["in"] == fed)

    async def over(self) -> None:
        """Until the sink channel has ended."""
        await asyncio.wait_for(asyncio.shield(self.sink.task), PATIENCE_S)

    def _ended_well(self, status: dict[str, Any]) -> dict[str, Any]:
        assert status["health"] == "ended" and status["exit_cause"] == "source_ended", status
        assert status["exit_code"] == 0 and not psutil.pid_exists(status["pid"])
        frames = status["frames"]
        assert frames["in"] == frames["out"] + sum(frames["dropped"].values()), status
        assert frames["out"] == self.sink.frames, status
        assert status["node_errors"] == 0, status
        return status

    def check(self, expected: list[Frame], *, gaps: int = 0) -> list[OutFrame]:
        """Exactly these frames are in the sink, in this order, with these timestamps."""
        frames = self.sink.decode()
        got = [(frame.counter, frame.pts) for frame in frames]
        numbers, wanted = [n for n, _ in got], [n for n, _ in expected]
        assert numbers == wanted, f"frames {numbers} instead of {wanted}"
        assert got == expected, f"{got} instead of {expected}"
        assert sum(segment.gap for segment in self.sink.segments) == gaps
        seqs = [segment.seq for segment in self.sink.segments]
        assert gaps or seqs == list(range(len(seqs)))
        self.check_truth()
        return frames

    def check_truth(self) -> None:
        """The status never said ok while nothing came out."""
        for look in self.looks:
            if look.status["health"] == "ok":
                near = [t for t in self.sink.arrivals if -OK_LINGERS_S < t - look.at < 2.0]
                assert near, f"ok, and no frame for {OK_LINGERS_S} s: {look.status}"


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """A trickle server in this process; its URL."""
    server = TrickleServer()
    await server.start("127.0.0.1", 0)
    try:
        yield server.url
    finally:
        await server.close()


class ServerProcess:
    """`comfytrickle trickle-server`, which can be killed and started again on its port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> ServerProcess:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comfytrickle.cli.main", "trickle-server"),
            *("--port", str(self.port)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert self._process.returncode is None and time.monotonic() < deadline
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return

    async def kill(self) -> None:
        """As a crash or a lost machine: no goodbye, and all that it held is gone."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def open_way(
    pool: Pool,
    *,
    source_at: str | None = None,
    sink_at: str | None = None,
    subscribe: str | None = None,
    publish: str | None = None,
    workflow: dict[str, Any] | None = None,
    create: bool = True,
    **params: Any,
) -> AsyncIterator[Way]:
    """Start a stream on ``pool`` between two channels.

    ``source_at``, ``sink_at``: base URLs of the trickle servers that have them, by default one in
    this process. ``subscribe``, ``publish``: base URLs that the worker is given instead (a
    proxy's). ``create``: the source channel is there from the beginning; else start
    ``way.source`` when it is to appear.
    """
    name = f"s{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(serving())
        source_at, sink_at = source_at or own, sink_at or own
        session = await stack.enter_async_context(open_session())
        source = Publisher(session, f"{source_at}in-{name}")
        stack.push_async_callback(source.close)
        sink = Sink(session, f"{sink_at}out-{name}")
        stack.push_async_callback(sink.close)
        if create:
            await source.start()
        start = functools.partial(
            pool.start,
            name,
            f"{subscribe or source_at}in-{name}",
            f"{publish or sink_at}out-{name}",
        )
        await asyncio.to_thread(start, prompt=workflow or example("passthrough"), **params)
        way = Way(pool, session, name, source, sink)
        try:
            yield way
        finally:
            await way.stop_watching()
            await asyncio.to_thread(pool.post, "/stream/stop?wait=30", {"stream_id": name})
