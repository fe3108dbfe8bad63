"""Ends sink channels whose streams ended without a worker that could do it.

A worker that drains deletes the channel that its stream has made. One that was killed cannot, and
readers of the channel would wait for a stream that is over.
"""

from __future__ import annotations

import asyncio
import logging

from comfytrickle.errors import TrickleError
from comfytrickle.trickle.channel_http import ChannelHttp
from comfytrickle.trickle.client_session import TRANSPORT_ERRORS, open_session

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0


class SinkEnds:
    """Owns the requests under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def end(self, url: str, verify_tls: bool) -> None:
        """DELETE it in the background, once; a server that is away sweeps what is idle."""
        task = asyncio.create_task(_delete(url, verify_tls))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is under way: some seconds at most."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))


async def _delete(url: str, verify_tls: bool) -> None:
    async with open_session(verify_tls=verify_tls) as session:
        try:
            await asyncio.wait_for(ChannelHttp(session, url).delete(), _PATIENCE_S)
        except (*TRANSPORT_ERRORS, TrickleError, asyncio.TimeoutError) as error:
            log.warning("the sink channel %s could not be ended: %r", url, error)
