"""Publishes messages of one stream beside its video, for as long as the stream lives and through
whatever happens to the channel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable

import aiohttp

from comfytrickle.errors import TrickleError
from comfytrickle.trickle.publisher import Publisher
from control_plane.waiting import happens_within

log = logging.getLogger(__name__)

_AGAIN_S = 2.0  # after the channel has refused or gone
# A server keeps five segments. Whoever reads small ones over a long way needs the time.
_PACE_S = 0.05
_LINGER_S = 0.5
_GOODBYE_S = 3.0  # for what is left at the end


class SidePublisher:
    """Owns the publisher. ``serve`` once; ``put`` at any time.

    ``segment_s``: a segment holds what comes within so many seconds, each message on the wire as it
    comes; 0: each is a segment of its own. ``waiting``: messages kept for a server that is away;
    the oldest go first.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        mime: str,
        *,
        waiting: int,
        segment_s: float = 0.0,
    ) -> None:
        self._session = session
        self._url = url
        self._mime = mime
        self._segment_s = segment_s
        self._queue: deque[bytes] = deque(maxlen=waiting)
        self._unsent: bytes | None = None  # taken from the queue, and not sent yet
        self._came = asyncio.Event()
        self._ending = False  # nothing more comes
        self._lost = 0

    def put(self, message: bytes) -> None:
        """Queue it; never waits."""
        self._lost += len(self._queue) == self._queue.maxlen
        self._queue.append(message)
        self._came.set()

    async def serve(self, until: Awaitable[object]) -> None:
        """For as long as ``until`` takes and a moment longer, for the last ones."""
        sending = asyncio.create_task(self._send_all())
        try:
            await until
            self._ending = True
            self._came.set()
            await asyncio.wait({sending}, timeout=_GOODBYE_S)
        finally:
            sending.cancel()
            await asyncio.wait({sending})
        if count := self._lost + len(self._queue) + (self._unsent is not None):
            log.warning("%s: %d messages could not be published", self._url, count)

    async def _send_all(self) -> None:
        """What is queued, in order; through publishers one after another, if need be."""
        while True:
            publisher = Publisher(
                self._session,
                self._url,
                mime=self._mime,
                preconnect=False,
                close_timeout_s=_GOODBYE_S,
            )
            try:
                await self._send_through(publisher)
                return
            except TrickleError as error:
                log.warning("%s; once more in %g s", error, _AGAIN_S)
            finally:
                await publisher.close()
            await asyncio.sleep(_AGAIN_S)

    async def _send_through(self, publisher: Publisher) -> None:
        await publisher.start()
        begun: float | None = None  # of the segment being written
        while True:
            if begun is not None and time.monotonic() >= begun + self._segment_s:
                await publisher.end()
                begun = None
            if self._unsent is None and self._queue:
                self._unsent = self._queue.popleft()
            if self._unsent is not None:
                if begun is None:
                    await publisher.begin()
                    begun = time.monotonic()
                await publisher.write(self._unsent)
                if not self._segment_s:
                    await publisher.end()
                    begun = None
                self._unsent = None
                if not self._segment_s:
                    await asyncio.sleep(_PACE_S)
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
                    await happens_within(self._came, begun + self._segment_s - time.monotonic())
