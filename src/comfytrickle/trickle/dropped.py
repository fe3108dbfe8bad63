"""Closes on the server the segments that a publisher gave up, so that readers move on."""

from __future__ import annotations

import asyncio

from comfytrickle.errors import TrickleError
from comfytrickle.trickle.backoff import Backoff
from comfytrickle.trickle.channel_http import ChannelHttp
from comfytrickle.trickle.client_session import TRANSPORT_ERRORS
from comfytrickle.trickle.protocol import WINDOW


class DroppedSegments:
    """DELETE /c/N for each seq added, once the server can be reached and a later one has begun.

    Not before: a reader that is sent on while the server's ``next`` is still N would be let wait
    at the next number, which may be a dropped one too.

    Of many, the first and the last WINDOW are remembered: readers wait at what was next when the
    server was last heard, or at what it was told of since.
    """

    def __init__(self, http: ChannelHttp) -> None:
        self._http = http
        self._seqs: list[int] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, seq: int) -> None:
        self._seqs.append(seq)
        if len(self._seqs) > 2 * WINDOW:
            del self._seqs[WINDOW]
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        backoff = Backoff(cap=0.5)
        while self._seqs:
            seq = self._seqs[0]
            try:
                next_seq = await self._http.next()
                if next_seq is not None and next_seq > seq:
                    await self._http.delete(seq)
                    self._seqs.remove(seq)
                    backoff.reset()
                    continue
            except TRANSPORT_ERRORS:
                pass  # the next try is as good
            except TrickleError:
                return  # the server lets us write, but not this
            await asyncio.sleep(backoff.next())
