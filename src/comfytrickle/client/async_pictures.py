"""Pictures from a stream's WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator

import aiohttp

from comfytrickle.calls import Call, Unreachable
from comfytrickle.client.connection import Connection
from comfytrickle.client.picture import Picture
from comfytrickle.errors import InvalidInput

# So many wait for a reader that is slow; then the oldest go. Without it, they would pile up in the
# kernel's buffers and show what is long past.
KEEP = 4


class AsyncPictures:
    """``async for`` connects and gives pictures until the stream ends. ``async with`` connects at
    once, so that what is sent from then on is seen, and pictures wait for the ``async for`` in it.

    Raises Refused, and Unreachable (also when the connection is lost).
    """

    def __init__(self, connection: Connection, call: Call) -> None:
        self._connection = connection
        self._call = call
        self._watch: _Watch | None = None  # of ``async with``

    async def __aenter__(self) -> AsyncPictures:
        self._watch = await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.close()

    async def __aiter__(self) -> AsyncGenerator[Picture, None]:
        shared = self._watch
        watch = shared or await self._connect()
        try:
            while (picture := await watch.next()) is not None:
                yield picture
        finally:
            if shared is None:
                await watch.close()

    async def _connect(self) -> _Watch:
        ws = await self._connection.socket(self._call)
        return _Watch(ws, f"{self._connection.url}{self._call.path}")


class _Watch:
    """Owns one WebSocket: reads it all the time, and keeps the newest."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, url: str) -> None:
        self._ws = ws
        self._url = url
        self._waiting: deque[Picture] = deque(maxlen=KEEP)
        self._lost: str | None = None  # why no more come; None at the stream's end
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def next(self) -> Picture | None:
        """None: the stream has ended."""
        while not self._waiting:
            if self._reading.done():
                if self._lost is not None:
                    raise Unreachable(f"{self._url}: {self._lost}")
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._ws.close()

    async def _read(self) -> None:
        self._reading.add_done_callback(lambda _: self._changed.set())
        try:
            while True:
                message = await self._ws.receive()
                if message.type is aiohttp.WSMsgType.BINARY:
                    self._waiting.append(Picture.parse(message.data, time.time()))
                    self._changed.set()
                elif message.type is not aiohttp.WSMsgType.TEXT:
                    self._lost = f"the connection was lost (code {self._ws.close_code})"
                    return
                elif json.loads(message.data).get("type") == "ended":
                    return
        except (InvalidInput, ValueError) as error:
            self._lost = f"no frame message: {error}"
