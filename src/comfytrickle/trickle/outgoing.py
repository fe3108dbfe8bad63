"""One segment's bytes on their way out, and the POST body that sends them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload


class Outgoing:
    """What was written of a segment. It is kept whole until the server has confirmed it."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.size = 0  # bytes
        self.ended = False
        self.more = asyncio.Event()  # set when chunks or ended changed
        self._marks: deque[tuple[int, object]] = deque()  # (end, mark) of what was not sent yet

    def append(self, data: bytes, *marks: object) -> None:
        """``marks`` stand for the writer's units that end with ``data``."""
        self.chunks.append(data)
        self.size += len(data)
        self._marks.extend((self.size, mark) for mark in marks)
        self.more.set()

    def take_marks(self, upto: int | None = None) -> list[object]:
        """Those of the units that lie within the first ``upto`` bytes (None: all), each once."""
        out: list[object] = []
        while self._marks and (upto is None or self._marks[0][0] <= upto):
            out.append(self._marks.popleft()[1])
        return out

    def end(self) -> None:
        self.ended = True
        self.more.set()

    def find(self, offset: int) -> tuple[int, int]:
        """The chunk that holds byte ``offset``, and how far into it that is."""
        for index, chunk in enumerate(self.chunks):
            if offset < len(chunk):
                return index, offset
            offset -= len(chunk)
        return len(self.chunks), 0

    def rest(self, offset: int) -> bytes:
        """All bytes from ``offset`` on."""
        index, skip = self.find(offset)
        return b"".join(self.chunks[index:])[skip:]


class PostBody(Payload):
    """Sends an Outgoing from ``offset`` on, each chunk as it comes, until it has ended.

    Use once. The request's headers go out at once: aiohttp itself would hold them back until the
    first chunk, and a preconnected POST would not reach the server.
    """

    def __init__(self, outgoing: Outgoing, offset: int, mime: str, on_progress: Callable[[], None]):
        super().__init__(outgoing, content_type=mime)
        self._outgoing = outgoing
        self._on_progress = on_progress
        self._writer: AbstractStreamWriter | None = None
        self.position = offset  # bytes of the outgoing that were handed to the socket
        self.is_connected = False
        self.is_touched = False  # a byte of the body may have gone out
        self.is_complete = False  # all were handed to the socket

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("the body of a segment is made while it is sent")

    async def write(self, writer: AbstractStreamWriter) -> None:
        outgoing = self._outgoing
        self._writer = writer
        writer.send_headers()
        self.is_connected = True
        self._on_progress()
        index, skip = outgoing.find(self.position)
        while True:
            while index < len(outgoing.chunks):
                chunk = outgoing.chunks[index]
                if skip:
                    chunk, skip = chunk[skip:], 0
                index += 1
                self.is_touched = True
                await writer.write(chunk)
                self.position += len(chunk)
                self._on_progress()
            if outgoing.ended:
                break
            outgoing.more.clear()
            await outgoing.more.wait()
        self.is_complete = True

    def abort(self) -> None:
        """Cut the connection, unless all of it was sent.

        A plain close would still send what lies in the socket's buffer, and that may be sent
        again by the next try.
        """
        if not self.is_complete and self._writer is not None:
            transport = self._writer.transport
            if transport is not None:
                transport.abort()
