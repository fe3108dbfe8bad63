"""What the pool says of itself, asked over HTTP."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from comfytrickle.registration.faults import in_words
from comfytrickle.registration.shapes import NotNow, Pool, read_health


async def look(session: aiohttp.ClientSession, url: str) -> Pool:
    """``GET /health``, which needs no token. Raises NotNow."""
    address = f"{url.rstrip('/')}/health"
    try:
        async with session.get(address, allow_redirects=False) as reply:
            if reply.status != 200:
                raise NotNow(f"the pool: {address} answers {reply.status}")
            return read_health(json.loads(await reply.read()))
    except asyncio.TimeoutError as error:
        raise NotNow(f"the pool: {address}: no answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NotNow(f"the pool: {address}: {in_words(error)}") from error
    except ValueError as error:
        raise NotNow(f"the pool: {address}: not a JSON answer") from error
