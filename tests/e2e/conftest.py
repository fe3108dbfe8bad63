"""What the API's tests share. Each file has a pool of its own: its fixture ``shared_pool``."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from comfytrickle.client import AsyncClient
from tests.support.live import Api, Live
from tests.support.pool import Pool


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    """A trickle server in the test's own loop."""
    async with Live.serve() as live:
        yield live


@pytest.fixture
async def api(shared_pool: Pool, live: Live) -> AsyncIterator[Api]:
    """The pool's API. No stream is left at the end, while the server still is there."""
    api = Api(shared_pool)
    yield api
    await api.clear()


@pytest.fixture
async def client(shared_pool: Pool) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(shared_pool.url) as client:
        yield client
        for stream_id in await client.list():
            await client.stream(stream_id).stop()
