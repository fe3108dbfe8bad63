"""A source that never was there: why not is what the stream's error says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.server import TrickleServer
from comfytrickle.trickle.subscriber import Subscriber
from tests.support.pool import free_port
from tests.support.streams import until
from workers.ends.source import SourceMissing, pump
from workers.stages.stats import Stats


class Sink:
    """An inbox that takes all and keeps nothing."""

    async def put(self, item: Any, size: int = 0) -> None: ...

    def put_nowait(self, item: Any) -> None: ...


async def missing(url: str, timeout_s: float) -> str:
    async with open_session() as session:
        subscriber = Subscriber(session, url, appear_timeout_s=timeout_s)
        with pytest.raises(SourceMissing) as caught:
            await pump(subscriber, Sink(), Stats(), was_seen=False)  # type: ignore[arg-type]
        return str(caught.value)


async def test_a_server_that_cannot_be_reached() -> None:
    url = f"http://127.0.0.1:{free_port()}/in"
    said = await missing(url, 0.2)
    assert said.startswith(f"the source could not be reached: {url}: ")
    assert "annot connect" in said and "never appeared" not in said


async def test_a_server_that_is_there_without_the_channel() -> None:
    server = TrickleServer()
    await server.start()
    try:
        said = await missing(f"{server.url}in", 0.2)
    finally:
        await server.close()
    assert said == "the source channel never appeared"


async def test_a_server_that_came_late_without_the_channel() -> None:
    """That it could not be reached at first is no reason any more."""
    server, port = TrickleServer(), free_port()
    async with open_session() as session:
        states: list[str] = []
        subscriber = Subscriber(
            session,
            f"http://127.0.0.1:{port}/in",
            appear_timeout_s=30.0,
            on_state=states.append,
        )
        reading = asyncio.ensure_future(subscriber.__anext__())
        try:
            await until(lambda: subscriber.last_error is not None, "it is reached")
            await server.start(port=port)
            await until(lambda: states[-1:] == ["waiting"], "it does not see the server")
            assert subscriber.last_error is None
        finally:
            reading.cancel()
            await asyncio.wait({reading})
            await subscriber.aclose()
            await server.close()
