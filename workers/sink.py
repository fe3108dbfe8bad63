"""Where packets leave the worker: into a trickle channel, or nowhere when no one takes them."""

from __future__ import annotations

import time
from typing import Protocol

import aiohttp

from comfytrickle.messages import StreamConfig
from comfytrickle.progress import Progress, ProgressPage
from comfytrickle.trickle.publisher import Publisher
from workers.items import Packet, SentFrame
from workers.queues import Outbox
from workers.stats import Stats


class Sink(Protocol):
    """Takes the encoder's packets, segment by segment."""

    @property
    def state(self) -> str: ...

    @property
    def last_error(self) -> str | None: ...

    async def start(self) -> None: ...

    async def begin(self) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...

    def counters(self) -> dict[str, int]: ...


class ChannelSink:
    """A trickle channel."""

    def __init__(self, session: aiohttp.ClientSession, config: StreamConfig) -> None:
        assert config.publish_url is not None
        self._publisher = Publisher(session, config.publish_url, resume=config.resume)

    @property
    def state(self) -> str:
        return self._publisher.state

    @property
    def last_error(self) -> str | None:
        return self._publisher.last_error

    async def start(self) -> None:
        await self._publisher.start()

    async def begin(self) -> None:
        await self._publisher.begin()

    async def write(self, data: bytes) -> None:
        await self._publisher.write(data)

    async def close(self) -> None:
        await self._publisher.close()

    def counters(self) -> dict[str, int]:
        counters = self._publisher.counters
        return {"segments_out": counters.segments, "transport_retries": counters.retries}


class NoSink:
    """A stream without a publish_url: it is encoded and counted, and goes nowhere."""

    state = "none"
    last_error = None

    async def start(self) -> None:
        pass

    async def begin(self) -> None:
        pass

    async def write(self, data: bytes) -> None:
        pass

    async def close(self) -> None:
        pass

    def counters(self) -> dict[str, int]:
        return {}


async def pump(
    outbox: Outbox[Packet | None], sink: Sink, stats: Stats, page: ProgressPage | None
) -> None:
    """Write what the encoder gives until it ends; then close the sink.

    ``page``: where the parent reads how far the stream has come when this process has died.

    Raises what the sink raises (ChannelClosed: nobody can take it any more).
    """
    await sink.start()
    audio_pts = -1
    while (packet := await outbox.get()) is not None:
        if packet.begins:
            await sink.begin()
        await sink.write(packet.data)
        stats.bytes_out += len(packet.data)
        if packet.audio_pts is not None:
            audio_pts = packet.audio_pts
        if packet.frame is not None:
            now = time.monotonic()
            stats.frames_out += 1
            stats.rate_out.tick(now)
            stats.total.add(now - packet.frame.arrived)
            if page is not None:
                page.write(_progress(packet.frame, audio_pts, stats))
    await sink.close()


def _progress(frame: SentFrame, audio_pts: int, stats: Stats) -> Progress:
    return Progress(
        segment=frame.segment,
        source_pts=frame.source_pts,
        pts=frame.pts,
        audio_pts=audio_pts,
        frames_in=stats.frames_in,
        frames_out=stats.frames_out,
    )
