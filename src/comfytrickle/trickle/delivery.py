"""One segment's way to the server: POST it, and see to it that the server has all of it, once."""

from __future__ import annotations

import asyncio
import enum
from typing import Protocol

from comfytrickle.errors import ChannelClosed
from comfytrickle.trickle.backoff import Backoff
from comfytrickle.trickle.channel_http import ChannelHttp, is_passing, parse_answer
from comfytrickle.trickle.client_session import TRANSPORT_ERRORS, in_words
from comfytrickle.trickle.outgoing import Outgoing, PostBody
from comfytrickle.trickle.protocol import HEADER_RESET


class Sender(Protocol):
    """What a delivery needs of its publisher."""

    mime: str

    def progressed(self, delivery: Delivery) -> None:
        """Connected, or bytes were handed to the socket, or an answer came."""

    def sent(self, marks: list[object]) -> None:
        """All bytes of these units were handed to the socket, for the first time."""

    async def turn(self, delivery: Delivery) -> None:
        """Wait until the server has what must be there before it."""

    def failed(self, delivery: Delivery) -> None:
        """A try broke; another one follows."""

    def ended(self, delivery: Delivery, error: BaseException | None) -> None:
        """The server has it, or (error) nothing can be sent any more."""

    def check_absence(self, delivery: Delivery) -> None:
        """The server does not know the channel. Raises, unless that can be mended."""

    async def recreate(self) -> None:
        """Make a channel again that the server has lost. Raises as ChannelHttp, ChannelClosed."""

    def pass_on(self, delivery: Delivery, offset: int) -> bool:
        """The server has closed the segment after ``offset`` bytes, the rest goes elsewhere.

        True: the delivery was given another seq and begins again with byte 0 (nothing had been
        written). False: it is over.
        """


class _Try(enum.Enum):
    DONE = enum.auto()
    AGAIN = enum.auto()  # nothing of it has gone out
    BROKE = enum.auto()  # the server may have any part of it
    NO_CHANNEL = enum.auto()


class Delivery:
    """Segment ``seq``, written to with ``out.append`` and ``out.end``; a task does the rest.

    The task ends when the server has confirmed all of it, or when it is dropped.
    """

    def __init__(self, http: ChannelHttp, sender: Sender, seq: int, *, reset: bool = False) -> None:
        self.seq = seq
        self.out = Outgoing()
        self.failing_since: float | None = None  # loop time; None: all well
        self.has_failed = False  # ever
        self.problem = ""  # of the last try that broke
        self._http = http
        self._sender = sender
        self._reset = reset
        self._held = 0  # bytes that the server has from earlier tries
        self._body: PostBody | None = None
        self._backoff = Backoff(cap=0.5)  # short against the time that a segment is waited for
        self._loop = asyncio.get_running_loop()
        self.task = self._loop.create_task(self._deliver())
        self.task.add_done_callback(self._finish)

    @property
    def unsent(self) -> int:
        """Bytes written that were not yet handed to a socket."""
        position = self._held if self._body is None else self._body.position
        return self.out.size - position

    def _finish(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._sender.ended(self, task.exception())

    async def _deliver(self) -> None:
        while True:
            outcome = await self._post()
            if outcome is _Try.DONE:
                return
            if outcome is _Try.NO_CHANNEL:
                self._sender.check_absence(self)
            self._fail()
            await asyncio.sleep(self._backoff.next())
            await self._sender.turn(self)
            if outcome is not _Try.AGAIN and not await self._find_out():
                return

    async def _post(self) -> _Try:
        """One try, from the first byte that the server does not have."""
        headers = {HEADER_RESET: "1"} if self._reset else {}
        body = PostBody(self.out, self._held, self._sender.mime, self._on_progress)
        self._body = body
        try:
            response = await self._http.post(self.seq, body, headers)
        except TRANSPORT_ERRORS as error:
            self.problem = in_words(error)
            return _Try.BROKE if body.is_touched else _Try.AGAIN
        else:
            answer = parse_answer(response.status, response.headers)
            complete = body.is_complete
            response.release()
        finally:
            body.abort()
            self._body = None
        if answer.closed:
            raise ChannelClosed("the channel was closed", url=self._http.url, status=answer.status)
        self.problem = f"the server answered {answer.status}"
        if answer.status == 404:
            return _Try.NO_CHANNEL
        if is_passing(answer.status):
            return _Try.BROKE if body.is_touched else _Try.AGAIN
        if not 200 <= answer.status < 300:
            raise self._http.refusal(answer.status, self.seq)
        return _Try.DONE if complete else _Try.BROKE

    async def _find_out(self) -> bool:
        """Learn what the server has. True: go on with another POST; False: all is done."""
        while True:
            try:
                held = await self._http.probe(self.seq)
                if not held.channel_exists:
                    await self._sender.recreate()
                    self._held = 0
                    return True
                self._sender.progressed(self)
                self._held = min(held.size, self.out.size)
                whole = self.out.ended and self._held == self.out.size
                if whole and not held.finished and self.out.size:
                    # An empty POST would end it too, but would also set the channel's next seq
                    # back if the following segment has begun (row 9).
                    await self._http.delete(self.seq)
                if whole and (held.finished or self.out.size):
                    return False
                if held.finished:
                    again = self._sender.pass_on(self, self._held)
                    self._held = 0
                    return again
                return True
            except TRANSPORT_ERRORS as error:
                self.problem = in_words(error)
                self._fail()
                await asyncio.sleep(self._backoff.next())

    def _fail(self) -> None:
        self.has_failed = True
        if self.failing_since is None:
            self.failing_since = self._loop.time()
        self._sender.failed(self)

    def _on_progress(self) -> None:
        if self._body is not None and (marks := self.out.take_marks(self._body.position)):
            self._sender.sent(marks)
        if not self.unsent:
            self.failing_since = None
            if self.out.size:
                self._backoff.reset()
        self._sender.progressed(self)
