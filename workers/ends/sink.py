"""Where packets leave the worker: into a trickle channel, or nowhere when no one takes them."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import aiohttp

from comfytrickle.errors import TrickleError
from comfytrickle.messages import StreamConfig
from comfytrickle.progress import Progress, ProgressPage
from comfytrickle.trickle.publisher import Publisher
from workers.stages.items import Packet, Sent, SentFrame, SentSound
from workers.stages.queues import Outbox
from workers.stages.stats import Drops, Stats

_LINGER_S = 0.5


class Account:
    """Notes each frame and each audio unit that goes out.

    ``page``: where the parent reads how far the stream has come when this process has died.
    """

    def __init__(self, stats: Stats, page: ProgressPage | None, config: StreamConfig) -> None:
        self._stats = stats
        self._page = page
        resume = config.resume_at
        self._audio_pts = -1 if resume is None else resume.audio_pts  # -1: none was sent
        self._frame: SentFrame | None = None
        self._sound: SentSound | None = None
        if config.owes_sink:
            self.made_sink()

    def sent(self, sent: Sent) -> None:
        stats, now = self._stats, time.monotonic()
        if isinstance(sent, SentSound):
            self._sound = sent
            self._audio_pts = max(self._audio_pts, sent.pts)
            stats.audio_out += 1
            stats.sound_out.tick(now)
        else:
            self._frame = sent
            stats.frames_out += 1
            stats.rate_out.tick(now)
            stats.total.add(now - sent.arrived)
        # Sound has its video to go by, but where there is none.
        last = self._frame or (self._sound if stats.alone else None)
        if self._page is not None and last is not None:
            self._page.write(self._progress(last))

    def made_sink(self) -> None:
        """The sink channel was made by us: whoever ends the stream ends that as well."""
        if self._page is not None:
            self._page.note_sink(owed=True)

    def ended_sink(self) -> None:
        if self._page is not None:
            self._page.note_sink(owed=False)

    def _progress(self, last: Sent) -> Progress:
        return Progress(
            segment=last.segment,
            source_pts=last.source_pts,
            pts=last.pts,
            audio_pts=self._audio_pts,
            frames_in=self._stats.frames_in,
            frames_out=self._stats.frames_out,
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
        """``sent``: the frame or audio unit that is complete with it."""

    async def close(self) -> None: ...

    def counters(self) -> dict[str, int]: ...

    def dropped(self) -> dict[str, int]:
        """Frames that could not be sent, by cause."""


class ChannelSink:
    """A trickle channel. A frame counts as out when its bytes are on their way, not while they
    wait for a server that is away."""

    def __init__(self, session: aiohttp.ClientSession, config: StreamConfig, account: Account):
        assert config.publish_url is not None
        self._account = account
        self._drops = Drops()
        self._publisher = Publisher(
            session,
            config.publish_url,
            resume=config.resume,
            owned=config.owes_sink,
            on_sent=account.sent,
            on_dropped=self._dropped,
            on_made=account.made_sink,
        )

    def _dropped(self, sent: Sent) -> None:
        if isinstance(sent, SentFrame):
            self._drops.add("sink")

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
        """The last segment is ended at once; a channel that we made a moment later, because a
        reader that is not at the last segment yet finds nothing once the channel is deleted."""
        try:
            await self._publisher.end()
        except TrickleError:
            pass  # the channel is gone already, and its readers with it
        else:
            if self._publisher.owns_channel:
                await asyncio.sleep(_LINGER_S)
        await self._publisher.close()
        self._account.ended_sink()

    def counters(self) -> dict[str, int]:
        counters = self._publisher.counters
        return {"segments_out": counters.segments, "transport_retries": counters.retries}

    def dropped(self) -> dict[str, int]:
        return self._drops.snapshot()


class NoSink:
    """A stream without a publish_url: it is counted, and goes nowhere."""

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
    while (packet := await outbox.get()) is not None:
        if packet.begins:
            await sink.begin()
        await sink.write(packet.data, packet.sent)
        stats.bytes_out += len(packet.data)
    await sink.close()
