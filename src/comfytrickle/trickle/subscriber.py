"""Reads a trickle channel, segment by segment, through whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import aiohttp

from comfytrickle.trickle.backoff import Backoff
from comfytrickle.trickle.channel_http import Answer, ChannelHttp, parse_answer
from comfytrickle.trickle.client_session import TRANSPORT_ERRORS, in_words
from comfytrickle.trickle.cursor import Cursor, Do, Phase, SubscriberCounters
from comfytrickle.trickle.incoming import Segment
from comfytrickle.trickle.protocol import SEQ_CURRENT

# A retried GET that is neither refused nor answered for so long is a long poll that waits.
_HELD_S = 1.0
# A segment that is silent for so long although the next one has begun: its publisher is gone, and
# a server that does not notice leaves it open (row 13).
_STRANDED_S = 3.0


class _Opened(NamedTuple):
    seq: int
    content_type: str | None
    gap: bool
    response: aiohttp.ClientResponse


class Subscriber:
    """``async for segment in subscriber: async for chunk in segment: ...``

    While a segment is read, the GET for the next one is open already. A segment that the consumer
    does not read to its end is left when the next one is asked for.

    ``start``: SEQ_CURRENT (the segment that is being written, from its beginning), SEQ_NEXT, or a
    number (or, when the server does not hold that one any more, the oldest that it does).
    ``appear_timeout_s``: how long a channel (or a server) that was never there is waited for;
    None: for ever. ``reappear_timeout_s``: how long a channel is waited for that the server does
    not know any more after the connection broke (it was restarted). Silence is never an error; a
    server that cannot be reached is tried for ever. ``live``: a reader who was too slow, and finds
    that the server does not hold the next segment any more, goes on at the live edge; False: with
    the oldest segment that there is.

    The iteration ends when the channel does; ``end_reason`` then is "closed" (the server said
    so), "gone" (it answers 404 now) or "never_appeared". It raises TrickleError when the server
    refuses (another 4xx, a certificate that does not verify).

    ``state`` is connecting, waiting (404 so far), live, retrying or ended; ``on_state`` is called
    with each new one. Cancelling a read loses nothing, it can be gone on with. The owner ends
    with :meth:`aclose` (or ``async with``), which leaves no task and no connection.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        start: int = SEQ_CURRENT,
        appear_timeout_s: float | None = None,
        reappear_timeout_s: float | None = 30.0,
        live: bool = True,
        backoff: Callable[[], Backoff] = Backoff,
        on_state: Callable[[str], None] | None = None,
    ) -> None:
        self.counters = SubscriberCounters()
        self._loop = asyncio.get_running_loop()
        self._http = ChannelHttp(session, url)
        self._cursor = Cursor(
            start,
            now=self._loop.time(),
            appear_timeout_s=appear_timeout_s,
            reappear_timeout_s=reappear_timeout_s,
            counters=self.counters,
            live=live,
        )
        self._make_backoff = backoff
        self._on_state = on_state
        self._state = Phase.CONNECTING
        self._opening: asyncio.Task[_Opened | None] | None = None
        self._current: Segment | None = None
        self._resuming = backoff()  # of the segment being read
        self._lost_rest = False
        self._closed = False
        # Why the channel cannot be read just now; None while it can, or while none has been tried.
        self.last_error: str | None = None

    @property
    def state(self) -> str:
        return self._state.value

    @property
    def end_reason(self) -> str | None:
        # Known to the GET ahead before the consumer has read all that came before.
        return self._cursor.end_reason if self._closed else None

    async def __aenter__(self) -> Subscriber:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Subscriber:
        return self

    async def __anext__(self) -> Segment:
        if self._current is not None:
            self._current.close()
            self._current = None
        if self._closed:
            raise StopAsyncIteration
        if self._opening is None:
            self._opening = self._loop.create_task(self._open())
        # wait() leaves the task alone when this call is cancelled: the GET stays open.
        await asyncio.wait({self._opening})
        opening, self._opening = self._opening, None
        try:
            opened = opening.result()
        except BaseException:
            self._finish()
            raise
        if opened is None:
            self._finish()
            raise StopAsyncIteration
        gap = opened.gap or self._lost_rest
        self._lost_rest = False
        self._resuming.reset()
        self.counters.segments += 1
        self._current = Segment(
            opened.seq, opened.content_type, gap, opened.response, self, self._loop.time
        )
        self._opening = self._loop.create_task(self._open())
        return self._current

    async def aclose(self) -> None:
        """End, from whatever state. Idempotent. ``end_reason`` stays as it is."""
        self._finish()
        if self._current is not None:
            self._current.close()
            self._current = None
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait({opening})
            if not opening.cancelled() and opening.exception() is None:
                opened = opening.result()
                if opened is not None:
                    opened.response.close()

    def _finish(self) -> None:
        self._closed = True
        self._show(Phase.ENDED)

    def _show(self, phase: Phase) -> None:
        if phase is not self._state:
            self._state = phase
            if self._on_state is not None:
                self._on_state(phase.value)

    # --- the GET for the next segment ---

    async def _open(self) -> _Opened | None:
        """Go on until there is a next segment (headers are there) or the channel is over."""
        cursor = self._cursor
        previous = self._current
        backoff, polls = self._make_backoff(), Backoff(cap=0.25)
        if cursor.is_spinning:
            await asyncio.sleep(polls.next())
        while True:
            response, do = await self._get(cursor.seq, cursor.answered)
            if do is Do.TAKE and response is not None:
                gap, cursor.gap = cursor.gap, False
                if previous is not None:
                    self._loop.call_later(_STRANDED_S, self._leave_if_stranded, previous)
                content_type = response.headers.get("Content-Type") or None
                return _Opened(cursor.taken, content_type, gap, response)
            if do is Do.END:
                return None
            await self._wait(do, backoff, polls)

    async def _get(
        self, seq: int, judge: Callable[[Answer, float], Do]
    ) -> tuple[aiohttp.ClientResponse | None, Do]:
        """One GET. The response comes back (open) only with TAKE."""
        cursor = self._cursor
        held = self._loop.call_later(_HELD_S, self._held)
        try:
            response = await self._http.get(seq)
        except TRANSPORT_ERRORS as error:
            self.last_error = f"{self._http.url}: {in_words(error)}"
            do = cursor.failed(self._loop.time())
            self._show_progress()
            return None, do
        finally:
            held.cancel()
        answer = parse_answer(response.status, response.headers)
        do = judge(answer, self._loop.time())
        self._show_progress()
        if do is Do.TAKE or answer.status == 404:  # that there is no channel is no trouble
            self.last_error = None
        if do is Do.TAKE:
            return response, do
        response.release()
        if do is Do.REFUSE:
            raise self._http.refusal(answer.status, seq)
        return None, do

    async def _wait(self, do: Do, backoff: Backoff, polls: Backoff) -> None:
        if do is Do.BACK_OFF:
            await asyncio.sleep(backoff.next())
        elif do is Do.POLL:
            await asyncio.sleep(polls.next())

    def _held(self) -> None:
        if self._state is Phase.RETRYING:
            self._show(Phase.LIVE)

    def _show_progress(self) -> None:
        # The end is shown when the consumer comes to it, not when the GET ahead of it learns it.
        if not self._closed and self._cursor.phase is not Phase.ENDED:
            self._show(self._cursor.phase)

    def _leave_if_stranded(self, segment: Segment) -> None:
        if segment.is_over or self._closed:
            return
        remaining = _STRANDED_S - segment.silent_for()
        if remaining <= 0:
            segment.abandon()
        else:
            self._loop.call_later(remaining, self._leave_if_stranded, segment)

    # --- what the segment being read asks for ---

    def segment_broke(self) -> None:
        self._cursor.failed(self._loop.time())
        self._show_progress()

    async def reopen(self, seq: int, *, progress: bool) -> aiohttp.ClientResponse | None:
        if progress:
            self._resuming.reset()
        polls = Backoff(cap=0.25)
        do = Do.BACK_OFF
        while do is not Do.END:
            await self._wait(do, self._resuming, polls)
            response, do = await self._get(seq, self._cursor.answered_again)
            if response is not None:
                return response
        return None

    def segment_ended(self, size: int, *, whole: bool) -> None:
        self._cursor.body_ended(size)
        if not whole:
            self._lost_rest = True
            self.counters.segments_lost += 1
