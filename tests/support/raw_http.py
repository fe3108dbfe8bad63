"""HTTP/1.1 over a bare socket: for tests that look at each byte a server sends, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

PATIENCE_S = 10.0  # for what must come; far more than it takes
SILENCE_S = 0.1  # for what must not come


class Head(NamedTuple):
    """A reply up to its body. ``headers`` has lower-case names, and no Date."""

    status: int
    line: str
    headers: dict[str, str]


class RawHttp:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, url: str) -> RawHttp:
        parts = urlsplit(url)
        assert parts.hostname is not None
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await asyncio.wait_for(self._writer.drain(), PATIENCE_S)

    async def request(self, line: str, *headers: str, body: bytes = b"") -> None:
        """``line`` is method and target. A body is sent with its Content-Length."""
        lines = [f"{line} HTTP/1.1", "Host: test", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def begin_post(self, target: str, *headers: str) -> None:
        """The head of a chunked POST."""
        await self.request(f"POST {target}", "Transfer-Encoding: chunked", *headers)

    async def send_chunk(self, data: bytes) -> None:
        """One chunk; an empty one ends the body."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def head(self) -> Head:
        raw = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        line, *fields = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        headers: dict[str, str] = {}
        for field in fields:
            name, _, value = field.partition(":")
            assert name.lower() not in headers, f"{name} came twice"
            headers[name.lower()] = value.strip()
        headers.pop("date", None)
        return Head(int(line.split(" ", 2)[1]), line, headers)

    async def chunk(self) -> bytes:
        """One chunk of a chunked body; empty at its end."""
        size = int(await asyncio.wait_for(self._reader.readline(), PATIENCE_S), 16)
        data = await asyncio.wait_for(self._reader.readexactly(size + 2), PATIENCE_S)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def body(self, head: Head) -> bytes:
        """The rest of a reply."""
        if head.headers.get("transfer-encoding") == "chunked":
            whole = b""
            while piece := await self.chunk():
                whole += piece
            return whole
        size = int(head.headers["content-length"])
        return await asyncio.wait_for(self._reader.readexactly(size), PATIENCE_S)

    async def rest(self) -> bytes:
        """All until the server closes the connection."""
        return await asyncio.wait_for(self._reader.read(), PATIENCE_S)

    async def is_silent(self, for_s: float = SILENCE_S) -> bool:
        """Nothing comes, and the connection stays open."""
        try:
            await asyncio.wait_for(self._reader.readexactly(1), for_s)
        except asyncio.TimeoutError:
            return True
        except asyncio.IncompleteReadError:
            return False
        return False

    def abort(self) -> None:
        """Break the connection (RST)."""
        self._writer.transport.abort()

    def send_eof(self) -> None:
        """Half-close (FIN)."""
        self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass  # the server was first; it is closed either way


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds. Raises AssertionError after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        await asyncio.sleep(0.002)
