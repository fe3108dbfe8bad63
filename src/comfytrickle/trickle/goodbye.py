"""How a publisher leaves: the channel's end, and the answer to the POST that waits for more."""

from __future__ import annotations

import asyncio

from comfytrickle.errors import TrickleError
from comfytrickle.trickle.backoff import Backoff
from comfytrickle.trickle.channel_http import ChannelHttp
from comfytrickle.trickle.client_session import TRANSPORT_ERRORS
from comfytrickle.trickle.delivery import Delivery

_ANSWER_S = 0.5  # for the answer to the preconnected POST when all else is over


async def end_channel(http: ChannelHttp, last: Delivery | None, deadline: float) -> None:
    """DELETE the channel, by ``deadline`` (loop time) or not at all; ``last``: preconnected."""
    await _delete_by(http, deadline)
    if last is None:
        return
    await asyncio.wait({last.task}, timeout=_ANSWER_S)
    if not last.task.done():
        # Just made, it came to the server after the DELETE, which so has a new channel.
        last.task.cancel()
        await asyncio.wait({last.task})
        await _delete_by(http, deadline)


async def end_post(last: Delivery | None) -> None:
    """End the preconnected POST, and leave the channel for another publisher."""
    if last is not None:
        last.out.end()
        await asyncio.wait({last.task}, timeout=_ANSWER_S)


async def _delete_by(http: ChannelHttp, deadline: float) -> None:
    loop = asyncio.get_running_loop()
    deleting = loop.create_task(_delete(http))
    try:
        await asyncio.wait({deleting}, timeout=max(0.0, deadline - loop.time()))
    finally:
        deleting.cancel()
        await asyncio.wait({deleting})


async def _delete(http: ChannelHttp) -> None:
    backoff = Backoff()
    while True:
        try:
            await http.delete()
        except TRANSPORT_ERRORS:
            await asyncio.sleep(backoff.next())
        except TrickleError:
            return  # the server lets us write, but not delete: it will sweep what is idle
        else:
            return
