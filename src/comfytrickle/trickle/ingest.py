"""A POST's body on its way into a segment."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from comfytrickle.trickle.segment import Segment
from comfytrickle.trickle.store import Channel

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Outcome(enum.Enum):
    """How a body ended."""

    ENDED = enum.auto()  # it came whole
    EMPTY = enum.auto()  # whole, without a byte
    CLOSED = enum.auto()  # the segment was closed before the first byte
    LOST = enum.auto()  # the client went away, or broke the encoding, in the middle
    TOO_LARGE = enum.auto()


class Ingest:
    """Reads one POST body into one segment. Use once: ``outcome = await Ingest(...).run()``.

    A task of its own reads and appends, so that a chunk reaches the segment's readers in the very
    step in which it was read; the handler's task only waits for the end, or for the segment being
    closed while there is no byte yet.
    """

    def __init__(
        self,
        request: web.Request,
        channel: Channel,
        segment: Segment,
        *,
        on_first_byte: Callable[[], None],
        max_bytes: int,
        continue_interval_s: float,
    ) -> None:
        self._request = request
        self._channel = channel
        self._segment = segment
        self._on_first_byte = on_first_byte
        self._max_bytes = max_bytes
        self._interval = continue_interval_s
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> Outcome:
        """Take the body until it ends. When cancelled (client gone), nothing is left running."""
        if self._request.version >= HttpVersion11:
            if self._request.headers.get("Expect", "").lower() == "100-continue":
                self._interim()
            else:
                self._arm()
        self._segment.listeners.add(self._on_change)
        pump = self._loop.create_task(self._pump())
        either: set[asyncio.Future[Any]] = {pump, self._closed}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return pump.result() if pump.done() else Outcome.CLOSED
        finally:
            self._stop_waiting()
            if not pump.done():
                pump.cancel()
                await asyncio.wait({pump})

    async def _pump(self) -> Outcome:
        content = self._request.content
        segment, channel = self._segment, self._channel
        begun = False
        try:
            while data := await content.readany():
                if not begun:
                    begun = True
                    self._stop_waiting()
                    self._on_first_byte()
                if segment.size + len(data) > self._max_bytes:
                    return Outcome.TOO_LARGE
                channel.append(segment, data)
        except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
            return Outcome.LOST
        return Outcome.ENDED if begun else Outcome.EMPTY

    def _on_change(self) -> None:
        if self._segment.closed and not self._closed.done():
            self._closed.set_result(None)

    def _interim(self) -> None:
        transport = self._request.transport
        if transport is not None and not transport.is_closing():
            transport.write(_CONTINUE)
            self._arm()

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._interim)

    def _stop_waiting(self) -> None:
        """From the first byte on there are no interim answers, and a close does not interrupt."""
        self._segment.listeners.discard(self._on_change)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
