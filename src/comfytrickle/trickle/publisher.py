"""Writes a trickle channel, segment by segment, through whatever happens to the connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from comfytrickle.errors import ChannelClosed
from comfytrickle.trickle.backoff import Backoff
from comfytrickle.trickle.change import Change
from comfytrickle.trickle.channel_http import ChannelHttp
from comfytrickle.trickle.client_session import TRANSPORT_ERRORS, in_words
from comfytrickle.trickle.cursor import Phase
from comfytrickle.trickle.delivery import Delivery
from comfytrickle.trickle.dropped import DroppedSegments
from comfytrickle.trickle.goodbye import end_channel, end_post
from comfytrickle.trickle.protocol import MIME_MPEGTS

# After a long outage in which nothing was written, the server may just be back: once in an outage
# the segment that it found open gets the time of one more try (backoff and a probe).
_GRACE_S = 1.0


@dataclass
class PublisherCounters:
    """Totals of one publisher."""

    segments: int = 0  # confirmed by the server
    bytes: int = 0  # written
    retries: int = 0  # POSTs and other requests that broke and were tried again
    segments_dropped: int = 0  # wholly, or the rest of one that the server had closed


class Publisher:
    """``start``, then for each segment ``begin`` and ``write`` (one write is sent as one chunk), at
    the end ``close``. One task uses it at a time.

    ``mime``: the channel's. ``resume``: another publisher was here before and may have left a
    segment open; it is ended for its readers (Lp-Trickle-Reset). ``create``: POST the channel
    first, if it is not there; then it is this publisher's, and ``close`` deletes it. ``owned``: it
    is ours already, for a publisher before this one made it. ``delete_on_close``: whether to delete
    it, whoever made it. ``preconnect``: while a segment is written, the POST of the next one is
    open already.
    ``max_segment_bytes``: a segment that grows beyond goes on in the next one.
    ``max_unsent_bytes``: write waits while more than that was not taken by the socket.
    ``retry_window_s``: how long begin waits for a segment that the server does not take, before
    it is dropped. ``close_timeout_s`` bounds close.

    The segment being written, and the one before it until the server has confirmed it, are kept
    in memory. When a POST breaks, the server is asked how much it has, and the rest is sent.
    A server that was restarted gets the channel again; numbers go on.

    Whatever is given to write as ``mark`` comes back once: through ``on_sent`` when the bytes were
    handed to the socket, or through ``on_dropped`` when they never will be. ``on_made`` is called
    when the channel was made.

    ``state`` is connecting, live, retrying or ended; ``on_state`` is called with each new one.
    write, begin and end raise ChannelClosed when the channel has ended on the server, TrickleError
    when the server refuses.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        mime: str = MIME_MPEGTS,
        resume: bool = False,
        create: bool = True,
        owned: bool = False,
        delete_on_close: bool | None = None,
        preconnect: bool = True,
        max_segment_bytes: int = 64 << 20,
        max_unsent_bytes: int = 1 << 20,
        retry_window_s: float = 2.0,
        close_timeout_s: float = 5.0,
        on_state: Callable[[str], None] | None = None,
        on_sent: Callable[[Any], None] | None = None,
        on_dropped: Callable[[Any], None] | None = None,
        on_made: Callable[[], None] | None = None,
    ) -> None:
        self.mime = mime
        self.counters = PublisherCounters()
        self._http = ChannelHttp(session, url)
        self._create = create
        self._delete_on_close = delete_on_close
        self._preconnects = preconnect
        self._max_segment_bytes = max_segment_bytes
        self._max_unsent_bytes = max_unsent_bytes
        self._retry_window_s = retry_window_s
        self._close_timeout_s = close_timeout_s
        self._on_state = on_state
        self._on_sent = on_sent
        self._on_dropped = on_dropped
        self._on_made = on_made
        self._owned = owned
        self._loop = asyncio.get_running_loop()
        self._phase = Phase.CONNECTING
        self._reset = resume
        self._seq = 0  # of the next delivery that is made
        self._current: Delivery | None = None
        self._next: Delivery | None = None  # preconnected
        self._unanswered: deque[Delivery] = deque()  # ended, not confirmed; oldest first
        self._last: Delivery | None = None  # ended last
        self._skipping = False  # the current segment was dropped; so is what is written to it
        self._dropped = DroppedSegments(self._http)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._change = Change()
        self._confirmed = False  # the server has known the channel
        self._troubled = False  # a connection broke, and nothing was confirmed since
        self._gave_grace = False  # for the outage at hand
        self._error: BaseException | None = None
        self._problem = ""  # of the last try that broke, in words
        self._started = False
        self._closing = False

    @property
    def state(self) -> str:
        return self._phase.value

    @property
    def last_error(self) -> str | None:
        """Why the channel cannot be written just now; None while it can."""
        if self._phase is not Phase.RETRYING:
            return None
        return f"{self._http.url}: {self._problem}"

    @property
    def owns_channel(self) -> bool:
        """Whether ``close`` deletes the channel."""
        return self._owned if self._delete_on_close is None else self._delete_on_close

    @property
    def seq(self) -> int | None:
        """The segment being written."""
        return None if self._current is None else self._current.seq

    async def __aenter__(self) -> Publisher:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Make the channel if it is not there, and go on at its next seq.

        A server that cannot be reached is tried until it can (cancel to give up). Raises
        TrickleError (404) at once if the channel is absent and the server does not make channels.
        """
        backoff = Backoff()
        while True:
            try:
                self._seq = await self._prepare()
                break
            except TRANSPORT_ERRORS as error:
                self._problem = in_words(error)
                self.counters.retries += 1
                self._show(Phase.RETRYING)
                await asyncio.sleep(backoff.next())
        self._started = True
        self._show(Phase.LIVE)
        self._preconnect()

    async def _prepare(self) -> int:
        seq = await self._http.next()
        if seq is None and self._create:
            if not await self._make():
                raise self._http.refusal(404)
            seq = 0
        self._confirmed = seq is not None
        return seq or 0

    async def _make(self) -> bool:
        made = await self._http.create(self.mime)
        if made:
            self._owned = True
            if self._on_made is not None:
                self._on_made()
        return made

    async def begin(self) -> None:
        """End the current segment, if any, and begin the next one.

        Waits only if the one before the current is still not confirmed. A current segment
        without a byte is used on.
        """
        self._check_usable()
        if self._current is None or self._current.out.size:
            await self.end()
            self._current = self._take_next()

    async def write(self, data: bytes, mark: object = None) -> None:
        """Send ``data`` as a part of the current segment. Raises RuntimeError without one.

        ``mark``: a unit that is complete with it, for on_sent and on_dropped.
        """
        self._check_usable()
        if not data:
            return
        marks = () if mark is None else (mark,)
        if self._skipping:
            self._lost(marks)
            return
        current = self._current
        if current is None:
            raise RuntimeError("write() outside of a segment: call begin() first")
        size = current.out.size
        if size and size + len(data) > self._max_segment_bytes:
            await self.begin()
            current = self._current
        assert current is not None
        current.out.append(bytes(data), *marks)
        self.counters.bytes += len(data)
        self._preconnect()
        while self._current is not None and self._current.unsent > self._max_unsent_bytes:
            since = self._current.failing_since
            if since is None:
                await self._change.wait(None)
            elif self._loop.time() < since + self._retry_window_s:
                await self._change.wait(since + self._retry_window_s)
            else:
                self._drop(self._current)
                self._current = None
                self._skipping = True
            self._check()

    async def end(self) -> None:
        """End the current segment, if any. Waits as begin does.

        A segment in trouble has to be there before anything of the next one is: readers who find
        that a later one has begun go on with that.
        """
        self._check_usable()
        self._end_current()
        last = self._last
        await self._settle(but=None if last is not None and last.has_failed else last)

    async def close(self) -> None:
        """End the segment and the channel; leaves no task. Never raises for the server's sake.

        What the server has not confirmed within ``close_timeout_s`` is dropped and counted.
        """
        if self._closing:
            return
        self._closing = True
        deadline = self._loop.time() + self._close_timeout_s
        try:
            self._end_current()
            if self._error is None:
                await self._settle(deadline=deadline)
                await self._say_goodbye(deadline)
        finally:
            await self._dropped.aclose()
            for task in self._deliveries:
                task.cancel()
            if self._deliveries:
                await asyncio.wait(set(self._deliveries))
            for delivery in self._unanswered:
                self._lost(delivery.out.take_marks())
            self._current = self._next = None
            self._unanswered.clear()
            self._show(Phase.ENDED)

    async def _say_goodbye(self, deadline: float) -> None:
        last, self._next = self._next, None
        if last is not None and last.has_failed:
            last.task.cancel()
            last = None
        if self.owns_channel:
            await end_channel(self._http, last, deadline)
        else:
            await end_post(last)

    # --- segments ---

    def _new(self) -> Delivery:
        delivery = Delivery(self._http, self, self._seq, reset=self._reset)
        self._reset = False
        self._seq += 1
        self._deliveries.add(delivery.task)
        delivery.task.add_done_callback(self._deliveries.discard)
        return delivery

    def _take_next(self) -> Delivery:
        delivery, self._next = self._next or self._new(), None
        return delivery

    def _preconnect(self) -> None:
        if self._preconnects and self._next is None:
            self._next = self._new()

    def _end_current(self) -> None:
        current, self._current = self._current, None
        self._skipping = False
        if current is None:
            return
        if not current.out.size:
            self._next = current  # nothing was written: it is as good as preconnected
            return
        self._finish(current)

    def _finish(self, delivery: Delivery) -> None:
        delivery.out.end()
        self._unanswered.append(delivery)
        self._last = delivery

    async def _settle(self, but: Delivery | None = None, deadline: float | None = None) -> None:
        """Wait until every ended segment ``but`` that one is confirmed; drop what takes too long.

        More than one behind would not only take memory: the server's window moves on.
        """
        start = self._loop.time()
        while self._unanswered and self._unanswered[0] is not but:
            oldest = self._unanswered[0]
            since = start if oldest.failing_since is None else min(start, oldest.failing_since)
            limit = since + self._retry_window_s if deadline is None else deadline
            if deadline is None and not self._gave_grace:
                limit = max(limit, start + _GRACE_S)
            if self._loop.time() < limit:
                await self._change.wait(limit)
            else:
                self._drop(self._unanswered.popleft())
            self._check()

    def _drop(self, delivery: Delivery) -> None:
        """Give a segment up. Its readers are told when the server can be reached again."""
        self._gave_grace = True
        delivery.task.cancel()
        self._lost(delivery.out.take_marks())
        self.counters.segments_dropped += 1
        self._dropped.add(delivery.seq)
        self._change.notify()

    def _lost(self, marks: Iterable[object]) -> None:
        if self._on_dropped is not None:
            for mark in marks:
                self._on_dropped(mark)

    # --- what deliveries tell and ask ---

    def progressed(self, delivery: Delivery) -> None:
        if self._phase is Phase.RETRYING and delivery.failing_since is None:
            self._show(Phase.LIVE)
        self._change.notify()

    async def turn(self, delivery: Delivery) -> None:
        while any(earlier.seq < delivery.seq for earlier in self._unanswered):
            await self._change.wait(None)

    def sent(self, marks: list[object]) -> None:
        if self._on_sent is not None:
            for mark in marks:
                self._on_sent(mark)

    def failed(self, delivery: Delivery) -> None:
        self.counters.retries += 1
        self._problem = delivery.problem
        self._troubled = True
        self._show(Phase.RETRYING)
        self._change.notify()

    def ended(self, delivery: Delivery, error: BaseException | None) -> None:
        if delivery in self._unanswered:
            self._unanswered.remove(delivery)
            self.counters.segments_dropped += error is not None
        if error is not None:
            self._lost(delivery.out.take_marks())
        if error is None:
            self._troubled = self._gave_grace = False
            self._confirmed = True
            self.counters.segments += delivery.out.size > 0
        elif self._error is None and not self._closing:
            self._error = error
            self._show(Phase.ENDED)
        self._change.notify()

    def check_absence(self, delivery: Delivery) -> None:
        if delivery.has_failed or self._troubled:
            return  # the server was restarted
        if not self._confirmed:
            raise self._http.refusal(404, delivery.seq)
        raise ChannelClosed("the channel is gone", url=self._http.url, status=404)

    async def recreate(self) -> None:
        if not await self._make():
            raise ChannelClosed("the channel is gone", url=self._http.url, status=404)

    def pass_on(self, delivery: Delivery, offset: int) -> bool:
        if delivery is self._next:
            delivery.seq = self._seq
            self._seq += 1
            return True
        rest, marks = delivery.out.rest(offset), delivery.out.take_marks()
        if delivery is self._current:
            self._current = self._take_next()
            if rest:
                self._current.out.append(rest, *marks)
                self._preconnect()
            return False
        heir = self._current
        is_last = bool(self._unanswered) and self._unanswered[-1] is delivery
        if is_last and (heir is None or not heir.out.size):
            heir = heir or self._take_next()
            if self._current is not None:
                self._current = self._take_next()
            heir.out.append(rest, *marks)
            self._finish(heir)
        else:
            # The next segment has begun: there is no place left between the two.
            self._lost(marks)
            self.counters.segments_dropped += 1
        return False

    # --- small things ---

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _check_usable(self) -> None:
        self._check()
        if self._closing or not self._started:
            raise RuntimeError("the publisher is closed" if self._closing else "start() it first")

    def _show(self, phase: Phase) -> None:
        if phase is not self._phase and self._phase is not Phase.ENDED:
            self._phase = phase
            if self._on_state is not None:
                self._on_state(phase.value)
