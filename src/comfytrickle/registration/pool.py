"""What the pool says of itself, asked over HTTP."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from comfytrickle.registration.faults import in_words
from comfytrickle.registration.shapes import Never, NotNow, Pool, read_health


async def look(session: aiohttp.ClientSession, url: str) -> Pool:
    """``GET /health``, which needs no token. Raises NotNow."""
    address = f"{url.rstrip('/')}/health"
    status, body = await _get(session, address, {})
    if status != 200:
        raise NotNow(f"the pool: {address} answers {status}")
    try:
        return read_health(json.loads(body))
    except ValueError as error:
        raise NotNow(f"the pool: {address}: not a JSON answer") from error


async def try_token(session: aiohttp.ClientSession, url: str, token: str) -> None:
    """A call that needs the token. Raises Never when the pool refuses it, NotNow."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    status, _ = await _get(session, f"{url.rstrip('/')}/version", headers)
    if status != 401:
        return
    if not token:
        raise Never(f"the pool at {url} wants a token: --token or $COMFYTRICKLE_AUTH_TOKEN")
    raise Never(
        f"the pool at {url} does not take this token (--token, $COMFYTRICKLE_AUTH_TOKEN), and so"
        " would refuse what the orchestrator sends"
    )


async def _get(
    session: aiohttp.ClientSession, address: str, headers: dict[str, str]
) -> tuple[int, bytes]:
    try:
        async with session.get(address, headers=headers, allow_redirects=False) as reply:
            return reply.status, await reply.read()
    except asyncio.TimeoutError as error:
        raise NotNow(f"the pool: {address}: no answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NotNow(f"the pool: {address}: {in_words(error)}") from error
