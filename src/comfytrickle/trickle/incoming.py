"""One segment on its way in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import aiohttp

from comfytrickle.trickle.client_session import TRANSPORT_ERRORS
from comfytrickle.trickle.cursor import SubscriberCounters


class Source(Protocol):
    """What a segment needs of its subscriber."""

    counters: SubscriberCounters

    def segment_broke(self) -> None:
        """The body broke off; :meth:`reopen` follows."""

    async def reopen(self, seq: int, *, progress: bool) -> aiohttp.ClientResponse | None:
        """The body of ``seq`` from its beginning, as soon as it is to be had; None: lost.

        ``progress``: bytes were handed out since the last time.
        """

    def segment_ended(self, size: int, *, whole: bool) -> None:
        """``size`` bytes were there in all; not ``whole``: the rest is lost."""


class Segment:
    """The bytes of segment ``seq``, in chunks as they arrive: ``async for chunk in segment``.

    ``gap`` is True if bytes or segments before this one were lost since the previous one.
    ``content_type`` is the channel's (None where the server knows none).

    A connection that breaks is made again and what was handed out already is skipped. If the rest
    cannot be had any more, the iteration just ends, and the next segment has ``gap`` set.
    Nothing is read ahead beyond aiohttp's own bounded buffer. Cancelling a read loses nothing.
    """

    def __init__(
        self,
        seq: int,
        content_type: str | None,
        gap: bool,
        response: aiohttp.ClientResponse,
        source: Source,
        clock: Callable[[], float],
    ) -> None:
        self.seq = seq
        self.content_type = content_type
        self.gap = gap
        self._response: aiohttp.ClientResponse | None = response
        self._source = source
        self._clock = clock
        self._size = 0  # handed out, in bytes
        self._skip = 0  # of the response at hand, handed out before from an earlier one
        self._size_at_break = 0
        self._broken = False
        self._abandoned = False
        self._done = False
        self._reading_since: float | None = None

    @property
    def is_over(self) -> bool:
        """It came to its end, or was given up."""
        return self._done

    def __aiter__(self) -> Segment:
        return self

    async def __anext__(self) -> bytes:
        while not self._done:
            if self._broken or self._response is None:
                await self._resume()
                continue
            chunk = await self._read(self._response)
            if chunk is None:
                continue
            if not chunk:
                self._end(whole=not self._skip)
            elif len(chunk) > self._skip:
                fresh = chunk[self._skip :] if self._skip else chunk
                self._skip = 0
                self._size += len(fresh)
                self._source.counters.bytes += len(fresh)
                return fresh
            else:
                self._skip -= len(chunk)
        raise StopAsyncIteration

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The next bytes, b"" at the end, None if it broke."""
        self._reading_since = self._clock()
        try:
            return await response.content.readany()
        except TRANSPORT_ERRORS:
            response.close()
            if self._abandoned:
                self._end(whole=False)
            elif not self._done:
                self._broken = True
                self._source.segment_broke()
            return None
        finally:
            self._reading_since = None

    async def _resume(self) -> None:
        progress = self._size > self._size_at_break
        response = await self._source.reopen(self.seq, progress=progress)
        if self._done:
            if response is not None:
                response.close()
        elif response is None:
            self._end(whole=False)
        else:
            self._response = response
            self._skip = self._size_at_break = self._size
            self._broken = False

    def silent_for(self) -> float:
        """Seconds that the consumer has been waiting for bytes of it; 0 if it does not wait."""
        return 0.0 if self._reading_since is None else self._clock() - self._reading_since

    def abandon(self) -> None:
        """Nothing more will come of it: end it for the consumer that waits for its bytes."""
        self._abandoned = True
        if self._response is not None:
            self._response.close()

    def close(self) -> None:
        """The consumer wants no more of it. Idempotent."""
        self._done = True
        if self._response is not None:
            self._response.close()
            self._response = None

    def _end(self, *, whole: bool) -> None:
        if not self._done:
            self.close()
            self._source.segment_ended(self._size, whole=whole)
