"""Publishes the texts of one stream's workflow: JSON lines, on its data channel.

A segment holds what came within a second; each line is on the wire as it comes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

import aiohttp
import msgspec

from comfytrickle.errors import TrickleError
from comfytrickle.messages import TextLine
from comfytrickle.trickle.publisher import Publisher
from control_plane.waiting import happens_within

log = logging.getLogger(__name__)

MIME = "application/jsonl"
_SEGMENT_S = 1.0
_WAITING = 1000  # lines for a server that is away; the oldest go first
_AGAIN_S = 2.0  # after the channel has refused or gone
_LINGER_S = 0.5
_GOODBYE_S = 3.0


def to_line(line: TextLine) -> bytes:
    """One line of JSON, less than 64 KiB, with its end. ``timestamp``: milliseconds since 1970."""
    value = {
        "text": line.text,
        "node_id": line.node_id,
        "pts": line.pts,
        "timestamp": int(line.at * 1000),
    }
    if line.truncated:
        value["truncated"] = True
    return msgspec.json.encode(value) + b"\n"


class StreamTexts:
    """Owns the publisher. ``serve`` once; ``take`` at any time."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._queue: deque[bytes] = deque(maxlen=_WAITING)
        self._came = asyncio.Event()
        self._ending = False  # nothing more comes
        self._lost = 0

    def take(self, lines: Sequence[TextLine]) -> None:
        for line in lines:
            self._lost += len(self._queue) == _WAITING
            self._queue.append(to_line(line))
        self._came.set()

    async def serve(self, over: asyncio.Event) -> None:
        """Until ``over`` and a moment longer, for the last ones."""
        sending = asyncio.create_task(self._send_all())
        try:
            await over.wait()
            self._ending = True
            self._came.set()
            await asyncio.wait({sending}, timeout=_GOODBYE_S)
        finally:
            sending.cancel()
            await asyncio.wait({sending})
        if self._queue or self._lost:
            count = len(self._queue) + self._lost
            log.warning("%s: %d lines of text could not be published", self._url, count)

    async def _send_all(self) -> None:
        """Through publishers one after another, if need be."""
        while True:
            publisher = Publisher(
                self._session, self._url, mime=MIME, preconnect=False, close_timeout_s=_GOODBYE_S
            )
            try:
                await self._send_through(publisher)
                return
            except TrickleError as error:
                log.warning("texts: %s; once more in %g s", error, _AGAIN_S)
            finally:
                await publisher.close()
            await asyncio.sleep(_AGAIN_S)

    async def _send_through(self, publisher: Publisher) -> None:
        await publisher.start()
        begun: float | None = None  # of the segment being written
        while True:
            if begun is not None and time.monotonic() >= begun + _SEGMENT_S:
                await publisher.end()
                begun = None
            if self._queue:
                if begun is None:
                    await publisher.begin()
                    begun = time.monotonic()
                await publisher.write(self._queue[0])
                self._queue.popleft()
            elif self._ending:
                await publisher.end()
                if publisher.owns_channel:
                    await asyncio.sleep(_LINGER_S)  # who is not at the last segment yet finds it
                return
            else:
                self._came.clear()
                if begun is None:
                    await self._came.wait()
                else:
                    await happens_within(self._came, begun + _SEGMENT_S - time.monotonic())
