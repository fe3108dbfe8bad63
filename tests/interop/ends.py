"""Both ends of a chain: sources of ours and of the peer's, and what reads the channels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.units import AccessUnit
from comfytrickle.testsrc.encoder import ColourSpec
from comfytrickle.testsrc.sending import Sent, send
from comfytrickle.testsrc.sources import Chunk, pattern_chunks
from comfytrickle.trickle.protocol import SEQ_CURRENT
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.subscriber import Subscriber
from tests.interop.judging import FPS, HEIGHT, WIDTH, Judged, from_mpegts, from_rgb_file, judge
from tests.support import clips
from tests.support.peer import PATIENCE_S, Peer

# The peer reads any YUV as BT.601, whatever the stream says: so ours is sent as that, and the
# colours can be compared.
SPEC = clips.spec(WIDTH, HEIGHT, gop=FPS, colour=ColourSpec("bt601"))


class Source(Protocol):
    """Frame n of the test pattern has counter n. ``times``: time.monotonic() of each."""

    @property
    def times(self) -> list[float]: ...

    async def ready(self) -> None:
        """Until it is up. The channel hears nothing of it before ``play``."""

    async def play(self) -> None:
        """Until the last frame is out."""

    async def end(self) -> None:
        """As its owner ends it."""


@dataclass
class OurSource:
    publisher: Publisher
    frames: int
    times: list[float] = field(default_factory=list)

    async def ready(self) -> None:
        """It is."""

    async def play(self) -> None:
        await self.publisher.start()
        chunks = pattern_chunks(SPEC, self.frames)
        await send(self.publisher, chunks, Sent(), realtime=True, before_write=self._note)
        await self.publisher.end()

    def _note(self, chunk: Chunk) -> None:
        self.times.append(time.monotonic())

    async def end(self) -> None:
        await self.publisher.close()


@dataclass
class PeerSource:
    peer: Peer
    frames: int

    @property
    def times(self) -> list[float]:
        return self.peer.times("frame")

    async def ready(self) -> None:
        await self.peer.said("ready")

    async def play(self) -> None:
        self.peer.tell("go")
        await self.peer.said("frame", self.frames)

    async def end(self) -> None:
        self.peer.tell("end")
        await self.peer.over()


@asynccontextmanager
async def open_source(
    whose: str, session: aiohttp.ClientSession, url: str, frames: int, site: Path, folder: Path
) -> AsyncIterator[Source]:
    if whose == "ours":
        publisher = Publisher(session, url, delete_on_close=True)
        try:
            yield OurSource(publisher, frames)
        finally:
            await publisher.close()
    else:
        picture = {"frames": frames, "fps": FPS, "width": WIDTH, "height": HEIGHT}
        async with Peer("publish", site, folder, url=url, **picture) as peer:
            yield PeerSource(peer, frames)


class Viewer(Protocol):
    @property
    def times(self) -> list[float]:
        """When each frame was there (time.monotonic())."""

    async def ready(self) -> None:
        """Until it is up."""

    def begin(self) -> None:
        """Ask for the channel."""

    async def over(self) -> None:
        """Until the channel has ended for it."""

    def judged(self) -> list[Judged]: ...


class OurViewer:
    """Reads a channel from its current segment to its end, from the beginning on."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.times: list[float] = []
        self.data = bytearray()
        self.read_to = -1  # the last segment that was read to its end
        self.subscriber = Subscriber(session, url, start=SEQ_CURRENT)
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        demuxer = Demuxer()
        async with self.subscriber:
            async for segment in self.subscriber:
                assert not segment.gap, f"a gap before segment {segment.seq}"
                async for chunk in segment:
                    self.data += chunk
                    now = time.monotonic()
                    self._count(demuxer.feed(chunk, now), now)
                now = time.monotonic()
                self._count(demuxer.segment_end(now), now)
                self.read_to = segment.seq

    def _count(self, units: list[AccessUnit], now: float) -> None:
        self.times += [now for unit in units if unit.stream.kind == "video"]

    async def ready(self) -> None:
        """It is."""

    def begin(self) -> None:
        """It has."""

    async def over(self) -> None:
        await asyncio.wait_for(asyncio.shield(self._task), PATIENCE_S)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    def judged(self) -> list[Judged]:
        return judge(from_mpegts(bytes(self.data)))


class PeerViewer:
    def __init__(self, peer: Peer, out: Path) -> None:
        self._peer = peer
        self._out = out

    @property
    def times(self) -> list[float]:
        return self._peer.times("frame")

    async def ready(self) -> None:
        await self._peer.said("ready")

    def begin(self) -> None:
        self._peer.tell("go")

    async def over(self) -> None:
        await self._peer.over()

    def judged(self) -> list[Judged]:
        return judge(from_rgb_file(self._out))


@asynccontextmanager
async def open_our_viewer(session: aiohttp.ClientSession, url: str) -> AsyncIterator[OurViewer]:
    viewer = OurViewer(session, url)
    try:
        yield viewer
    finally:
        await viewer.close()


@asynccontextmanager
async def open_peer_viewer(url: str, site: Path, folder: Path) -> AsyncIterator[PeerViewer]:
    out = folder / "frames.rgb"
    # the cap on frames is far above the source's rate: which ones it drops is not what is tested
    picture = {"width": WIDTH, "height": HEIGHT, "max_framerate": 60, "out": str(out)}
    async with Peer("subscribe", site, folder, url=url, **picture) as peer:
        yield PeerViewer(peer, out)
