"""Publishes one stream's events, for as long as the stream lives and whatever its worker does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

import aiohttp

from comfytrickle.errors import TrickleError
from comfytrickle.trickle.publisher import Publisher
from control_plane import event_shapes
from control_plane.event_shapes import Chronicle, Event
from control_plane.reports import StreamFacts
from control_plane.waiting import happens_within

log = logging.getLogger(__name__)

MIME = "application/json"
LOOK_EVERY_S = 0.25
# A gateway gives a stream up after 30 s without an event.
STATUS_EVERY_S = 5.0
_STATUS_AFTER_S = 1.0  # between two at the least
# A server keeps five segments. Whoever reads them over a long way needs the time.
_PACE_S = 0.05
_AGAIN_S = 2.0  # after the channel has refused or gone
_WAITING = 100  # events for a server that is away; the oldest go first
_LINGER_S = 0.5
_GOODBYE_S = 3.0  # for what is left at the end


class StreamEvents:
    """Owns the publisher. ``serve`` once; ``say`` at any time."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        stream_id: str,
        look: Callable[[], StreamFacts],
    ) -> None:
        self._session = session
        self._url = url
        self._stream_id = stream_id
        self._look = look
        self._queue: deque[bytes] = deque(maxlen=_WAITING)
        self._came = asyncio.Event()
        self._ending = False  # nothing more comes
        self._lost = 0

    def say(self, event: Event) -> None:
        """Queue it; never waits."""
        if len(self._queue) == _WAITING:
            self._lost += 1
        self._queue.append(event_shapes.to_json(event, self._stream_id, time.time()))
        self._came.set()

    async def serve(self, over: asyncio.Event) -> None:
        """Until ``over`` and a moment longer, for the last ones."""
        sending = asyncio.create_task(self._send_all())
        try:
            await self._watch(over)
            self._ending = True
            self._came.set()
            await asyncio.wait({sending}, timeout=_GOODBYE_S)
        finally:
            sending.cancel()
            await asyncio.wait({sending})
        if self._queue or self._lost:
            count = len(self._queue) + self._lost
            log.warning("%s: %d events could not be published", self._url, count)

    async def _watch(self, over: asyncio.Event) -> None:
        facts = self._look()
        chronicle = Chronicle(facts.created_at)
        self.say(event_shapes.trace("stream_started"))
        told_at = status_due = float("-inf")
        while True:
            was_over = over.is_set()
            facts = self._look()
            for event in chronicle.look(facts):
                self.say(event)
                status_due = told_at + _STATUS_AFTER_S  # what has changed is on the status, too
            now = time.monotonic()
            if was_over or now >= min(status_due, told_at + STATUS_EVERY_S):
                self.say(chronicle.status(facts))
                told_at, status_due = now, now + STATUS_EVERY_S
            if was_over:
                self.say(event_shapes.trace("stream_stopped"))
                return
            await happens_within(over, LOOK_EVERY_S)

    async def _send_all(self) -> None:
        """What is queued, in order; through publishers one after another, if need be."""
        while True:
            publisher = Publisher(
                self._session, self._url, mime=MIME, preconnect=False, close_timeout_s=_GOODBYE_S
            )
            try:
                await self._send_through(publisher)
                return
            except TrickleError as error:
                log.warning("events: %s; once more in %g s", error, _AGAIN_S)
            finally:
                await publisher.close()
            await asyncio.sleep(_AGAIN_S)

    async def _send_through(self, publisher: Publisher) -> None:
        await publisher.start()
        while True:
            while self._queue:
                await publisher.begin()
                await publisher.write(self._queue[0])
                await publisher.end()
                self._queue.popleft()
                await asyncio.sleep(_PACE_S)
            if self._ending:
                if publisher.owns_channel:
                    await asyncio.sleep(_LINGER_S)  # who is not at the last event yet finds it
                return
            self._came.clear()
            await self._came.wait()
