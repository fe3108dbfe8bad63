"""Whether somebody else publishes to a channel at this moment.

The embedded server says how many POSTs are open when ``GET /c/next`` asks for it by a header, which
other servers do not know (docs/trickle.md, row 30). Of those it is watched for a moment whether the
channel grows. A segment that is merely open proves nothing: there,
one whose publisher died stays open (row 13).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from comfytrickle.trickle.channel_http import ChannelHttp, discard
from comfytrickle.trickle.protocol import SEQ_CURRENT

WATCH_S = 1.5  # longer than most segments
_BACKLOG_S = 0.3  # what comes sooner after the reply's head may have been there before


@dataclass(frozen=True, slots=True)
class Occupancy:
    """``written``: somebody publishes to it. ``certain``: the server itself says so."""

    exists: bool
    written: bool
    certain: bool


async def look(session: aiohttp.ClientSession, url: str) -> Occupancy:
    """Takes ``WATCH_S`` where the server does not tell. Raises one of TRANSPORT_ERRORS, and
    TrickleError when the server refuses."""
    http = ChannelHttp(session, url)
    standing = await http.standing()
    if standing is None:
        return Occupancy(exists=False, written=False, certain=True)
    if standing.writers is not None:
        return Occupancy(exists=True, written=standing.writers > 0, certain=True)
    grows = await _grows(http) or await http.next() != standing.next
    return Occupancy(exists=True, written=grows, certain=False)


async def _grows(http: ChannelHttp) -> bool:
    """Whether bytes come that were not there before, within ``WATCH_S``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WATCH_S
    getting = asyncio.ensure_future(http.get(SEQ_CURRENT))
    try:
        await asyncio.wait({getting}, timeout=WATCH_S)
        if not getting.done():
            return False
        response = getting.result()
        fresh_from = loop.time() + _BACKLOG_S
        while response.status == 200 and (left := deadline - loop.time()) > 0:
            try:
                data = await asyncio.wait_for(response.content.readany(), left)
            except asyncio.TimeoutError:
                return False
            if not data:
                break
            if loop.time() >= fresh_from:
                return True
        await asyncio.sleep(max(0.0, deadline - loop.time()))  # the next one may begin
        return False
    finally:
        await discard(getting)
