"""Frames to a stream that has no source channel."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time as clock
from dataclasses import dataclass
from typing import Any

import aiohttp

from comfytrickle.calls import Call, Refused, Unreachable
from comfytrickle.client.connection import Connection
from comfytrickle.client.ended import Ended
from comfytrickle.client.sent_frame import Frame, frame_message


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a frame. ``accepted``: it is on its way to the worker, where ``queue`` wait;
    else ``reason`` says why not: ``busy``, ``loading``, ``restarting`` or ``ending``."""

    seq: int
    accepted: bool
    reason: str | None
    queue: int


class AsyncCamera:
    """The sender's place of one stream, inside ``async with``.

    ``refused``: frames that were accepted, but that the worker could not decode; ``refusal``: why
    the last of them. Several tasks may send at the same time.
    """

    def __init__(self, connection: Connection, call: Call) -> None:
        self.refused = 0
        self.refusal: str | None = None
        self._connection = connection
        self._call = call
        self._seq = itertools.count()
        self._waiting: dict[int, asyncio.Future[Sent]] = {}
        self._over: Exception | None = None
        self._held = contextlib.AsyncExitStack()
        self._ws: aiohttp.ClientWebSocketResponse | None = None

    async def __aenter__(self) -> AsyncCamera:
        """Raises Refused (409: the stream has a source channel, a sender, or has ended)."""
        self._ws = await self._connection.socket(self._call)
        self._held.push_async_callback(self._ws.close)
        reading = asyncio.create_task(self._read(self._ws))
        self._held.push_async_callback(asyncio.wait, {reading})
        self._held.callback(reading.cancel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    async def send(self, frame: Frame, pts: int | None = None, time: float | None = None) -> Sent:
        """Send a frame and wait for the answer, with ``drop="never"`` until there is room.

        ``frame``: uint8 [height, width, 3], or the bytes of a JPEG; 16 to 4096 pixels wide and
        high. ``pts``: 90 kHz, carried over; None: the time of arrival. ``time``: seconds, comes
        back with the pictures of this frame; None: ``time.time()``. Raises Refused (400: the frame
        cannot be used), Ended, Unreachable, and TypeError or ValueError for what is no frame.
        """
        seq = next(self._seq)
        message = frame_message(frame, seq, pts, clock.time() if time is None else time)
        answer: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        ws = self._open_socket()
        self._waiting[seq] = answer
        try:
            await ws.send_bytes(message)
            return await answer
        except ConnectionError as error:
            raise self._over or self._lost(str(error)) from error
        finally:
            del self._waiting[seq]
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen

    async def end(self) -> None:
        """No more frames come, from nobody: what is there is worked off, then the stream ends."""
        try:
            await self._open_socket().send_str('{"type": "end"}')
        except ConnectionError as error:
            raise self._over or self._lost(str(error)) from error

    def _open_socket(self) -> aiohttp.ClientWebSocketResponse:
        if self._ws is None:
            raise RuntimeError("a camera sends inside its with block")
        if self._over is not None:
            raise self._over
        return self._ws

    def _lost(self, why: str) -> Unreachable:
        return Unreachable(f"{self._connection.url}{self._call.path}: {why}")

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        try:
            while self._over is None:
                message = await ws.receive()
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(json.loads(message.data))
                else:
                    self._over = self._lost(f"the connection was lost (code {ws.close_code})")
        except (ValueError, KeyError) as error:
            self._over = self._lost(f"not understood: {error!r}")
        finally:
            if self._over is None:
                self._over = RuntimeError("the camera was closed")
            for answer in self._waiting.values():
                _fail(answer, self._over)

    def _hear(self, said: dict[str, Any]) -> None:
        kind, seq = said.get("type"), said.get("seq")
        answer = None if seq is None else self._waiting.get(seq)
        if kind == "ended":
            self._over = Ended(f"the stream has ended: {said.get('state')}")
        elif kind == "refused":
            self.refused += said["count"]
            self.refusal = said["message"]
        elif seq is None or answer is None or answer.done():
            pass  # of somebody who waits no more
        elif kind == "error":
            body = {"error": said["message"], "field": said.get("field")}
            answer.set_exception(Refused(said.get("status", 400), body))
        else:
            answer.set_result(Sent(seq, kind == "accepted", said.get("reason"), said["queue"]))


def _fail(answer: asyncio.Future[Sent], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
