"""One look at everything a second, shared by all who watch.

The look is made while somebody watches, by one task. Every reader has a short queue; whoever does
not keep up is cut off, never waited for: it connects again and is told everything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from comfytrickle.messages import TextLine
from control_plane.page.feed_events import HEARTBEAT, Changes
from control_plane.waiting import happens_within

log = logging.getLogger(__name__)

EVERY_S = 1.0
HEARTBEAT_S = 10.0  # of silence; proxies close a connection that says nothing
QUEUED = 15  # looks that a reader may be behind, besides what its socket holds


class Look(NamedTuple):
    """What there is at one moment. ``texts``: the last ones of each stream that said any."""

    streams: Mapping[str, Mapping[str, Any]]  # statuses by id
    health: Mapping[str, Any]
    texts: Mapping[str, Sequence[TextLine]]


class Reader:
    """One who watches. ``cut``: ends its connection at once."""

    def __init__(self, cut: Callable[[], None]) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED)
        self._cut = cut
        self.was_cut = False

    async def next(self) -> bytes | None:
        """The next events; None: there will be no more."""
        return None if self.was_cut else await self._queue.get()

    def put(self, events: bytes | None) -> None:
        if self.was_cut:
            return
        try:
            self._queue.put_nowait(events)
        except asyncio.QueueFull:
            self.was_cut = True
            self._cut()


class Feed:
    """Owns the task that looks. ``look`` must not block; ``closing``: then all readers end."""

    def __init__(
        self, look: Callable[[], Look], closing: asyncio.Event, every_s: float = EVERY_S
    ) -> None:
        self._look = look
        self._closing = closing
        self._every_s = every_s
        self._changes = Changes()
        self._readers: set[Reader] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def readers(self) -> int:
        return len(self._readers)

    @asynccontextmanager
    async def reader(self, cut: Callable[[], None]) -> AsyncIterator[Reader]:
        """Someone who watches for as long as the scope lasts; told everything first."""
        reader = Reader(cut)
        if self._task is None or self._task.done():
            self._changes.update(*self._look())
            self._task = asyncio.create_task(self._keep_looking())
        reader.put(self._changes.everything())
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _keep_looking(self) -> None:
        silent_s = 0.0
        try:
            while not await happens_within(self._closing, self._every_s):
                events = self._changes.update(*self._look())
                silent_s = 0.0 if events else silent_s + self._every_s
                if not events and silent_s >= HEARTBEAT_S:
                    events, silent_s = HEARTBEAT, 0.0
                if events:
                    self._tell(events)
        except Exception:  # a bug of ours: readers must not wait for what will never come
            log.exception("the feed of events ends")
        self._tell(None)

    def _tell(self, events: bytes | None) -> None:
        for reader in list(self._readers):
            reader.put(events)
