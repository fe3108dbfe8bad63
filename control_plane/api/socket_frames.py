"""One WebSocket of a stream's frames: shows some, and takes some if the stream has no other source.

What is said on it: docs/api.md.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from comfytrickle.errors import ComfytrickleError, Conflict, InvalidInput
from comfytrickle.frame_message import HEADER_BYTES, MAX_MESSAGE, check_sent, unpack
from comfytrickle.messages import FramesRefused
from control_plane.api.callers import SUBPROTOCOL
from control_plane.api.web_keys import service_of
from control_plane.pictures.inlet import Inlet
from control_plane.pictures.preview import Viewer
from control_plane.shapes import bodies
from control_plane.streams.stream import Stream

_SLACK = 1 << 20  # so much more is read, to say what is wrong with it
_VIEWERS_MESSAGE = 1 << 16  # of who has nothing to send
_UNTOLD = 20  # refusals on their way to a sender that does not read them


async def serve_socket(
    request: web.Request, stream: Stream, viewer: Viewer | None
) -> web.WebSocketResponse:
    """Until either side ends it. Raises Conflict before it begins."""
    takes = stream.config.subscribe_url is None
    inlet = service_of(request).inlets.of(stream) if takes else None
    claim = bodies.integer(request.query, "send", 0, 1, "")
    ends = bodies.integer(request.query, "end", 0, 1, "")
    ws = web.WebSocketResponse(
        protocols=(SUBPROTOCOL,),
        compress=False,
        max_msg_size=MAX_MESSAGE + _SLACK if takes else _VIEWERS_MESSAGE,
    )
    with contextlib.ExitStack() as held:
        sender = Sender(ws, stream, inlet, held)
        if claim:
            sender.claim()
        await ws.prepare(request)
        showing = asyncio.create_task(_show(ws, stream, viewer))
        try:
            async for message in ws:
                if message.type is WSMsgType.BINARY:
                    await sender.frame(message.data)
                elif message.type is WSMsgType.TEXT:
                    await sender.words(message.data)
        except ConnectionError:
            pass  # it went while it was answered
        finally:
            showing.cancel()
            await asyncio.wait({showing})
            if ends:
                sender.end()
    return ws


async def _show(ws: web.WebSocketResponse, stream: Stream, viewer: Viewer | None) -> None:
    """Pictures until the stream is over; then says so."""
    try:
        while viewer is not None and not viewer.over:
            picture = await viewer.next()
            if picture is not None:
                await ws.send_bytes(picture)
        await stream.finished.wait()
        await _say(ws, type="ended", state=stream.state.value)
        await ws.close(code=WSCloseCode.OK)
    except ConnectionError:
        pass  # the reading side sees it as well


async def _say(ws: web.WebSocketResponse, **words: Any) -> None:
    await ws.send_str(msgspec.json.encode(words).decode())


class Sender:
    """What comes in over one socket. ``held``: gives the sender's place back when it ends."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        stream: Stream,
        inlet: Inlet | None,
        held: contextlib.ExitStack,
    ) -> None:
        self._ws = ws
        self._stream = stream
        self._inlet = inlet
        self._held = held
        self._mine: Inlet | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def claim(self) -> Inlet:
        """The sender's place. Raises Conflict."""
        if self._mine is None:
            if self._inlet is None:
                raise Conflict(
                    f"stream {self._stream.id!r} has a source channel: it takes no frames"
                )
            self._held.enter_context(self._inlet.sending(self._refused))
            self._mine = self._inlet
        return self._mine

    async def frame(self, message: bytes) -> None:
        try:
            inlet = self.claim()
            header = check_sent(message)
        except (Conflict, InvalidInput) as error:
            await self._error(error, _seq(message))
            return
        verdict = await inlet.put(header, message)
        if verdict.reason is None:
            await _say(self._ws, type="accepted", seq=header.seq, queue=verdict.queue)
        else:
            await _say(self._ws, type="dropped", seq=header.seq, reason=verdict.reason,
                       queue=verdict.queue)  # fmt: skip

    async def words(self, text: str) -> None:
        try:
            said = bodies.decode_object(text.encode())
            kind = bodies.one_of(said, "type", ("end",), "")
            if kind is None:
                raise InvalidInput("type", "is missing")
            self.claim()
        except (Conflict, InvalidInput) as error:
            await self._error(error, None)
            return
        self.end()

    def end(self) -> None:
        """No more comes, from nobody; if it is this one's to say."""
        if self._mine is not None:
            self._mine.end()

    async def _error(self, error: ComfytrickleError, seq: int | None) -> None:
        more: dict[str, Any] = (
            {"field": error.field} if isinstance(error, InvalidInput) else {"status": 409}
        )
        await _say(self._ws, type="error", seq=seq, message=str(error), **more)

    def _refused(self, refused: FramesRefused) -> None:
        if len(self._telling) < _UNTOLD:
            task = asyncio.ensure_future(self._tell(refused))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell(self, refused: FramesRefused) -> None:
        try:
            await _say(self._ws, type="refused", seqs=refused.seqs, count=refused.count,
                       message=refused.reason)  # fmt: skip
        except ConnectionError:
            pass  # the reading side sees it as well


def _seq(message: bytes) -> int | None:
    """As far as it can be read."""
    try:
        return unpack(message).seq if len(message) >= HEADER_BYTES else None
    except InvalidInput:
        return None
