"""What stands around a pool in an end-to-end test: a trickle server, sources and viewers on it.

async with Live.serve() as live, live.source("in") as source, live.viewer("out") as viewer:
    ...  start a stream from live.url("in") to live.url("out")
    last = await source.end()
    await viewer.finished()
    assert viewer.counters()[-1] == last
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import av
import numpy as np
import numpy.typing as npt

from comfytrickle.testsrc import counter
from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.reader import luma
from comfytrickle.testsrc.sending import Sent, send
from comfytrickle.testsrc.sources import Chunk, pattern_chunks
from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.protocol import MIME_MPEGTS
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.server import TrickleServer
from comfytrickle.trickle.subscriber import Subscriber
from tests.support import clips
from tests.support.channel import Collector
from tests.support.pool import Pool


@dataclass(frozen=True)
class Seen:
    """One frame of a published stream."""

    counter: int | None
    inverted: bool
    size: tuple[int, int]


class Viewer(Collector):
    """Reads a channel to its end, and what its frames show."""

    def frames(self) -> list[Seen]:
        """Everything so far, decoded by PyAV's own demuxer, in order of presentation."""
        data = b"".join(self.data)
        if not data:
            return []
        with av.open(io.BytesIO(data), "r", format="mpegts") as container:
            return [
                Seen(counter.read(y), counter.is_inverted(y), (frame.width, frame.height))
                for frame in container.decode(video=0)
                for y in [luma(frame)]
            ]

    def counters(self) -> list[int | None]:
        return [frame.counter for frame in self.frames()]

    @staticmethod
    def lumas(data: list[bytes]) -> list[npt.NDArray[np.uint8]]:
        """Of each frame of a whole stream: [height, width]."""
        with av.open(io.BytesIO(b"".join(data)), "r", format="mpegts") as container:
            return [luma(frame).copy() for frame in container.decode(video=0)]

    @staticmethod
    def read(data: list[bytes]) -> list[int | None]:
        """The counters of a whole stream."""
        return [counter.read(y) for y in Viewer.lumas(data)]


class Source:
    """The test pattern on a channel, at its own pace, until it is told to end."""

    def __init__(self, publisher: Publisher, spec: EncoderSpec) -> None:
        self._publisher = publisher
        self._spec = spec
        self._ending = False
        self.sent = Sent()
        self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        await send(self._publisher, self._chunks(), self.sent, realtime=True)

    def _chunks(self) -> Iterator[Chunk]:
        for chunk in pattern_chunks(self._spec):
            if self._ending:
                return
            yield chunk

    async def end(self) -> int:
        """End the channel; the counter of its last frame."""
        self._ending = True
        await asyncio.wait_for(asyncio.shield(self._task), 15)
        await self._publisher.close()
        return self.sent.frames - 1


class Live:
    """The channels of one test."""

    def __init__(self, server: TrickleServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    @classmethod
    @asynccontextmanager
    async def serve(cls) -> AsyncIterator[Live]:
        server = TrickleServer()
        await server.start()
        try:
            async with open_session() as session:
                yield cls(server, session)
        finally:
            await server.close()

    def url(self, name: str) -> str:
        return self.server.url + name

    async def has_channel(self, name: str) -> bool:
        """Whether the server knows the channel (a DELETE by its publisher makes it forget)."""
        async with self.session.get(self.url(name) + "/next", timeout=_LOOK) as reply:
            return reply.status != 404

    @asynccontextmanager
    async def source(self, name: str, spec: EncoderSpec | None = None) -> AsyncIterator[Source]:
        """A live source; by default small and cheap."""
        async with Publisher(self.session, self.url(name)) as publisher:
            source = Source(publisher, spec or clips.spec())
            try:
                yield source
            finally:
                if not source._task.done():
                    await source.end()

    @asynccontextmanager
    async def viewer(self, name: str) -> AsyncIterator[Viewer]:
        viewer = Viewer(Subscriber(self.session, self.url(name)))
        async with viewer:
            yield viewer

    async def put(self, name: str, segments: list[bytes], mime: str = MIME_MPEGTS) -> Publisher:
        """Segments at once. The publisher, which the caller closes: that ends the channel."""
        publisher = Publisher(self.session, self.url(name), mime=mime)
        await publisher.start()
        for segment in segments:
            await publisher.begin()
            await publisher.write(segment)
        return publisher


_LOOK = aiohttp.ClientTimeout(total=5)


class Api:
    """A pool's HTTP API from a test's loop: every blocking call in a thread."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def call(self, *args: Any, **kwargs: Any) -> tuple[int, Any]:
        return await asyncio.to_thread(self.pool.call, *args, **kwargs)

    async def get(self, path: str) -> tuple[int, Any]:
        return await self.call("GET", path)

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        return await self.call("POST", path, body)

    async def start(self, *args: Any, **params: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self.pool.start, *args, **params)

    async def status(self, stream_id: str) -> dict[str, Any]:
        return await asyncio.to_thread(self.pool.status, stream_id)

    async def wait(self, stream_id: str, wanted: Any, timeout: float = 30.0) -> dict[str, Any]:
        return await asyncio.to_thread(self.pool.wait_status, stream_id, wanted, timeout)

    async def fill_threads(self) -> None:
        """Have the control plane make the threads for blocking calls that it may ever have (Python
        starts them as they are needed, and keeps them), so that it holds no more later."""
        await self.start("threads", "http://127.0.0.1:9/none", "http://127.0.0.1:9/nil")
        for _ in range(4):
            await asyncio.gather(*(self.get("/stream/threads/logs") for _ in range(32)))
        await self.post("/stream/stop?wait=30", {"stream_id": "threads"})

    async def clear(self) -> None:
        """Stop every stream that a test has left."""
        streams = (await self.get("/streams"))[1]["streams"]
        await asyncio.gather(
            *(self.call("POST", "/stream/stop?wait=30", None, {"X-Stream-Id": i}) for i in streams)
        )


def consecutive(counters: list[int | None], last: int | None = None) -> None:
    """Assert that no frame is missing, doubled or unreadable, up to ``last``."""
    assert counters and counters[0] is not None, f"{len(counters)} frames, the first unreadable"
    wanted = list(range(counters[0], counters[0] + len(counters)))
    wrong = [(i, n) for i, (n, w) in enumerate(zip(counters, wanted, strict=True)) if n != w]
    assert not wrong, (
        f"of {len(counters)} frames from {counters[0]} on, (index, counter): {wrong[:9]}"
    )
    assert last is None or counters[-1] == last, f"ends at {counters[-1]}, not {last}"
