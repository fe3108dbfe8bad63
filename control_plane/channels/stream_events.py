"""Tells one stream's events, for as long as the stream lives and whatever its worker does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from control_plane.channels import event_shapes
from control_plane.channels.event_shapes import Chronicle, Event
from control_plane.channels.side_publisher import SidePublisher
from control_plane.shapes.reports import StreamFacts
from control_plane.waiting import happens_within

MIME = "application/json"
LOOK_EVERY_S = 0.25
# A gateway gives a stream up after 30 s without an event.
STATUS_EVERY_S = 5.0
_STATUS_AFTER_S = 1.0  # between two at the least
_WAITING = 100


class StreamEvents:
    """``serve`` once; ``say`` at any time."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        stream_id: str,
        look: Callable[[], StreamFacts],
    ) -> None:
        self._stream_id = stream_id
        self._look = look
        self._channel = SidePublisher(session, url, MIME, waiting=_WAITING)

    def say(self, event: Event) -> None:
        """Queue it; never waits."""
        self._channel.put(event_shapes.to_json(event, self._stream_id, time.time()))

    async def serve(self, over: asyncio.Event) -> None:
        """Until ``over`` and a moment longer, for the last ones."""
        await self._channel.serve(self._watch(over))

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
