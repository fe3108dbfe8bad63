"""Where frames come into a worker that were sent to its parent: from the inlet's frame queue."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from comfytrickle.errors import ProtocolError
from comfytrickle.messages import FramesRefused
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Descriptors, Ring, RingClosed
from comfytrickle.trickle.cursor import SubscriberCounters
from workers.stages.items import Item, Picture, SourceEnd
from workers.stages.queues import Inbox
from workers.stages.stats import Stats

log = logging.getLogger(__name__)

# No picture is read ahead of the decoder: those that wait, wait in the ring, where the sender is
# told how many they are.
INBOX_BYTES = 0
_LIVE_S = 3.0
# A sender of nothing but rubbish must not fill the status pipe.
_TELL_EVERY_S = 0.05
_NAMED = 100


class InletSource:
    """In place of a Subscriber; shows what that shows."""

    last_error: str | None = None

    def __init__(self, descriptors: Descriptors, stats: Stats) -> None:
        """``descriptors``: the ring's, taken over."""
        self.counters = SubscriberCounters()  # nothing of it ever happens
        self._descriptors = descriptors
        self._stats = stats
        self._ended = False

    def state_at(self, now: float) -> str:
        """``now``: time.monotonic()."""
        if self._ended:
            return "ended"
        age = self._stats.rate_in.age(now)
        return "waiting" if age is None or age > _LIVE_S else "live"

    async def pump(self, inbox: Inbox[Item]) -> None:
        """Until the parent says that no more comes. Cancelling it ends the stream as that would."""
        ring = Ring(self._descriptors)
        reader = RingReader(ring)
        cut = True
        try:
            while True:
                try:
                    frame = await reader.receive()
                except ProtocolError as error:
                    log.error("%s", error)
                    continue
                self._stats.bytes_in += len(frame.data)
                await inbox.put(Picture(frame.data, frame.header.time_ns / 1e9), len(frame.data))
        except RingClosed:
            cut = False
        finally:
            self._ended = True
            reader.close()
            ring.close()
            inbox.put_nowait(SourceEnd(cut))


class Refusals:
    """Tells the parent of frames that could not be decoded, some at a time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, send: Callable[[FramesRefused], object]
    ) -> None:
        self._loop = loop
        self._send = send
        self._seqs: deque[int] = deque(maxlen=_NAMED)
        self._count = 0
        self._reason = ""

    def add(self, seq: int, reason: str) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._add, seq, reason)

    def _add(self, seq: int, reason: str) -> None:
        if not self._count:
            self._loop.call_later(_TELL_EVERY_S, self._tell)
        self._seqs.append(seq)
        self._count += 1
        self._reason = reason

    def _tell(self) -> None:
        self._send(FramesRefused(list(self._seqs), self._count, self._reason))
        self._seqs.clear()
        self._count = 0
