"""Both ends of a trickle channel for tests: a reader that collects, and a scripted server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.subscriber import Subscriber

PATIENCE_S = 15.0  # for what must come; far more than it takes


async def until(condition: Callable[[], object], what: str = "condition") -> None:
    """Wait for a condition, and say which one never came."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"never came: {what}")
        await asyncio.sleep(0.005)


@dataclass
class Got:
    """One segment as it was read."""

    seq: int
    gap: bool
    content_type: str | None
    data: bytearray = field(default_factory=bytearray)
    done: bool = False


class Collector:
    """Reads a subscriber to its end in a task of its own; owns and closes it."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.segments: list[Got] = []
        self.gate = asyncio.Event()  # cleared: the reader takes nothing
        self.gate.set()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with self.subscriber:
            async for segment in self.subscriber:
                got = Got(segment.seq, segment.gap, segment.content_type)
                self.segments.append(got)
                async for chunk in segment:
                    got.data += chunk
                    await self.gate.wait()
                got.done = True

    @property
    def data(self) -> list[bytearray]:
        return [segment.data for segment in self.segments]

    @property
    def seqs(self) -> list[int]:
        return [segment.seq for segment in self.segments]

    @property
    def size(self) -> int:
        return sum(len(segment.data) for segment in self.segments)

    async def finished(self) -> None:
        """Until the channel is over. Raises what the subscriber raised."""
        await asyncio.wait_for(asyncio.shield(self._task), PATIENCE_S)

    async def __aenter__(self) -> Collector:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


async def publish(publisher: Publisher, rng: random.Random, sizes: list[int]) -> bytes:
    """One segment of random bytes, written in pieces of the given sizes. Returns all of it."""
    await asyncio.wait_for(publisher.begin(), PATIENCE_S)
    pieces = [rng.randbytes(size) for size in sizes]
    for piece in pieces:
        await asyncio.wait_for(publisher.write(piece), PATIENCE_S)
        await asyncio.sleep(0)
    return b"".join(pieces)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def scripted_server(handler: Handler) -> AsyncIterator[str]:
    """A server that answers every request with ``handler``. Gives its URL, without a slash."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
