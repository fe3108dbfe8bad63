"""Clients of a stream's pictures, as a browser or a program would be. JPEG by Pillow, not by us."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import aiohttp
import numpy as np
import numpy.typing as npt
from PIL import Image

from comfytrickle.testsrc import counter
from comfytrickle.testsrc.pattern import Pattern
from tests.support.pool import Pool

PATIENCE_S = 30.0
# As docs/api.md has it, not as the product does.
HEADER = struct.Struct("<4sBBHQqdII4x")
JPEG, RAW = 1, 2
WIDTH, HEIGHT = 256, 192

RGB = npt.NDArray[np.uint8]


def pixels(jpeg: bytes) -> RGB:
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB"))


def jpeg(rgb: RGB, quality: int = 85, **options: Any) -> bytes:
    """4:2:0, as browsers make it."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality, **options)
    return out.getvalue()


@lru_cache(maxsize=8)
def _pattern(width: int, height: int) -> Pattern:
    return Pattern(width, height)


def picture(n: int, width: int = WIDTH, height: int = HEIGHT) -> RGB:
    return _pattern(width, height).render(n)


def message(
    payload: bytes,
    *,
    seq: int = 0,
    kind: int = JPEG,
    pts: int = -1,
    at: float = 0.0,
    size: tuple[int, int] = (0, 0),
    magic: bytes = b"CTF1",
) -> bytes:
    return HEADER.pack(magic, kind, 0, 0, seq, pts, at, *size) + payload


def numbered(n: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Frame ``n`` of the test pattern as a camera's message; that is its seq and its time, too."""
    return message(jpeg(picture(n, width, height)), seq=n, pts=n * 6000, at=float(n))


@dataclass
class Shown:
    """One picture that came."""

    side: int
    flags: int
    seq: int
    pts: int
    at: float  # the sender's time
    rgb: RGB
    came: float  # time.monotonic()

    @classmethod
    def read(cls, data: bytes) -> Shown:
        magic, kind, side, flags, seq, pts, at, width, height = HEADER.unpack_from(data)
        assert magic == b"CTF1" and kind == JPEG
        rgb = pixels(data[HEADER.size :])
        assert rgb.shape == (height, width, 3)
        return cls(side, flags, seq, pts, at, rgb, time.monotonic())

    @property
    def counter(self) -> int | None:
        return counter.read(self.rgb)

    @property
    def size(self) -> tuple[int, int]:
        return self.rgb.shape[1], self.rgb.shape[0]


class FrameSocket:
    """One WebSocket; reads as long as it lives unless ``lazy``."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self.shown: list[Shown] = []
        self.words: list[dict[str, Any]] = []
        self._task: asyncio.Task[None] | None = None

    def read(self) -> None:
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for got in self.ws:
            if got.type is aiohttp.WSMsgType.BINARY:
                self.shown.append(Shown.read(got.data))
            else:
                self.words.append(json.loads(got.data))

    async def end(self) -> None:
        await self.ws.close()
        if self._task is not None:
            await self._task

    async def closed(self) -> None:
        """Until the other side has closed it."""
        assert self._task is not None
        await asyncio.wait_for(asyncio.shield(self._task), PATIENCE_S)

    async def until(self, what: Callable[[], object], why: str = "") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            if self._task is not None and self._task.done():
                self._task.result()
                raise AssertionError(f"closed ({self.ws.close_code}): {why} {self.words[-5:]}")
            assert time.monotonic() < deadline, (
                f"{why}: {len(self.shown)} pictures, {self.words[-5:]}"
            )
            await asyncio.sleep(0.01)

    async def sees(self, pictures: int) -> None:
        await self.until(lambda: len(self.shown) >= pictures, f"{pictures} pictures")

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [words for words in self.words if words["type"] == kind]

    async def told(self, kind: str, times: int = 1) -> dict[str, Any]:
        await self.until(lambda: len(self.said(kind)) >= times, f"{times} times {kind}")
        return self.said(kind)[times - 1]

    async def send(self, data: bytes) -> dict[str, Any]:
        """A frame; its answer."""
        before = len(self.words)
        await self.ws.send_bytes(data)
        kinds = ("accepted", "dropped", "error")
        answers: list[dict[str, Any]] = []

        def answered() -> bool:
            answers[:] = [w for w in self.words[before:] if w["type"] in kinds]
            return bool(answers)

        await self.until(answered, "an answer")
        return answers[0]

    async def accepted(self, data: bytes) -> None:
        """A frame, again and again until it is taken."""
        deadline = time.monotonic() + PATIENCE_S
        while (answer := await self.send(data))["type"] != "accepted":
            assert answer["type"] == "dropped" and time.monotonic() < deadline, answer
            await asyncio.sleep(0.02)


class Watching:
    """Makes clients of one pool's streams, and closes them."""

    def __init__(self, pool: Pool, session: aiohttp.ClientSession) -> None:
        self.pool = pool
        self.session = session

    def url(self, stream: str, call: str) -> str:
        return f"{self.pool.url}/stream/{stream}/{call}"

    async def start(self, name: str, **more: Any) -> dict[str, Any]:
        """A stream that is sent frames."""
        body = {"gateway_request_id": name, **more}
        async with self.session.post(self.pool.url + "/stream/start", json=body) as reply:
            answer = await reply.json()
            assert reply.status == 200, answer
        return dict(answer)

    async def status(self, stream: str) -> dict[str, Any]:
        async with self.session.get(self.url(stream, "status")) as reply:
            return dict(await reply.json())

    async def shows(self, stream: str, wanted: Callable[[dict[str, Any]], object]) -> Any:
        """The first status for which ``wanted`` holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not wanted(status := await self.status(stream)):
            assert time.monotonic() < deadline, json.dumps(status)
            await asyncio.sleep(0.05)
        return status

    @asynccontextmanager
    async def socket(
        self, stream: str, query: str = "fps=60", *, lazy: bool = False
    ) -> AsyncIterator[FrameSocket]:
        """``lazy``: nothing of it is read."""
        ws = await self.session.ws_connect(
            self.url(stream, f"frames?{query}"), max_msg_size=0, autoclose=True
        )
        client = FrameSocket(ws)
        if not lazy:
            client.read()
        try:
            yield client
        finally:
            await client.end()

    @asynccontextmanager
    async def camera(
        self, stream: str, query: str = "fps=60", *, fps: float = 15.0, first: int = 0
    ) -> AsyncIterator[FrameSocket]:
        """A socket on which the test pattern is sent all the while."""
        async with self.socket(stream, query) as client:
            sending = asyncio.create_task(_film(client.ws, fps, first))
            try:
                yield client
            finally:
                sending.cancel()
                await asyncio.wait({sending})
                if not sending.cancelled() and not isinstance(
                    sending.exception(), (ConnectionError, type(None))
                ):
                    sending.result()


async def _film(ws: aiohttp.ClientWebSocketResponse, fps: float, first: int) -> None:
    loop = asyncio.get_running_loop()
    begun, n = loop.time(), 0
    while not ws.closed:
        await ws.send_bytes(numbered(first + n))
        n += 1
        await asyncio.sleep(max(0.0, begun + n / fps - loop.time()))


@asynccontextmanager
async def watching(pool: Pool) -> AsyncIterator[Watching]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        watching = Watching(pool, session)
        yield watching
        async with session.get(pool.url + "/streams") as reply:
            streams = (await reply.json())["streams"]
        for name in streams:
            await session.post(f"{pool.url}/stream/{name}/stop?wait=30")
