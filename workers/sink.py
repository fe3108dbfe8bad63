"""Where packets leave the worker: into a trickle channel, or nowhere when no one takes them."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple, Protocol

import aiohttp

from comfytrickle.errors import TrickleError
from comfytrickle.messages import StreamConfig
from comfytrickle.progress import Progress, ProgressPage
from comfytrickle.trickle.publisher import Publisher
from workers.items import Packet, SentFrame
from workers.queues import Outbox
from workers.stats import Drops, Stats

_LINGER_S = 0.5


class Sent(NamedTuple):
    """A frame and the last audio unit that went before it (pts in the output; -1: none)."""

    frame: SentFrame
    audio_pts: int


class Account:
    """Notes each frame that goes out.

    ``page``: where the parent reads how far the stream has come when this process has died.
    """

    def __init__(self, stats: Stats, page: ProgressPage | None) -> None:
        self._stats = stats
        self._page = page

    def sent(self, sent: Sent) -> None:
        frame, stats, now = sent.frame, self._stats, time.monotonic()
        stats.frames_out += 1
        stats.rate_out.tick(now)
        stats.total.add(now - frame.arrived)
        if self._page is not None:
            self._page.write(
                Progress(
                    segment=frame.segment,
                    source_pts=frame.source_pts,
                    pts=frame.pts,
                    audio_pts=sent.audio_pts,
                    frames_in=stats.frames_in,
                    frames_out=stats.frames_out,
                )
            )


class Sink(Protocol):
    """Takes the encoder's packets, segment by segment."""

    @property
    def state(self) -> str: ...

    @property
    def last_error(self) -> str | None: ...

    async def start(self) -> None: ...

    async def begin(self) -> None: ...

    async def write(self, data: bytes, sent: Sent | None) -> None:
        """``sent``: the frame that is complete with it."""

    async def close(self) -> None: ...

    def counters(self) -> dict[str, int]: ...

    def dropped(self) -> dict[str, int]:
        """Frames that could not be sent, by cause."""


class ChannelSink:
    """A trickle channel. A frame counts as out when its bytes are on their way, not while they
    wait for a server that is away."""

    def __init__(self, session: aiohttp.ClientSession, config: StreamConfig, account: Account):
        assert config.publish_url is not None
        self._drops = Drops()
        self._publisher = Publisher(
            session,
            config.publish_url,
            resume=config.resume,
            on_sent=account.sent,
            on_dropped=lambda _: self._drops.add("sink"),
        )

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

    async def write(self, data: bytes, sent: Sent | None) -> None:
        await self._publisher.write(data, sent)

    async def close(self) -> None:
        """The last segment is ended at once; the channel a moment later, because a reader that is
        not at the last segment yet finds nothing once the channel is deleted."""
        try:
            await self._publisher.end()
        except TrickleError:
            pass  # the channel is gone already, and its readers with it
        else:
            await asyncio.sleep(_LINGER_S)
        await self._publisher.close()

    def counters(self) -> dict[str, int]:
        counters = self._publisher.counters
        return {"segments_out": counters.segments, "transport_retries": counters.retries}

    def dropped(self) -> dict[str, int]:
        return self._drops.snapshot()


class NoSink:
    """A stream without a publish_url: it is encoded and counted, and goes nowhere."""

    state = "none"
    last_error = None

    def __init__(self, account: Account) -> None:
        self._account = account

    async def start(self) -> None:
        pass

    async def begin(self) -> None:
        pass

    async def write(self, data: bytes, sent: Sent | None) -> None:
        if sent is not None:
            self._account.sent(sent)

    async def close(self) -> None:
        pass

    def counters(self) -> dict[str, int]:
        return {}

    def dropped(self) -> dict[str, int]:
        return {}


async def pump(outbox: Outbox[Packet | None], sink: Sink, stats: Stats) -> None:
    """Write what the encoder gives until it ends; then close the sink.

    Raises what the sink raises (ChannelClosed: nobody can take it any more).
    """
    await sink.start()
    audio_pts = -1
    while (packet := await outbox.get()) is not None:
        if packet.begins:
            await sink.begin()
        if packet.audio_pts is not None:
            audio_pts = packet.audio_pts
        sent = None if packet.frame is None else Sent(packet.frame, audio_pts)
        await sink.write(packet.data, sent)
        stats.bytes_out += len(packet.data)
    await sink.close()
