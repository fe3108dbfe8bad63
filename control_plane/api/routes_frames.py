"""The calls that show a stream's pictures, and take them: a snapshot, a preview, a WebSocket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from comfytrickle.errors import Conflict
from comfytrickle.frame_message import HEADER_BYTES, SIZE_MAX, SIZE_MIN, Side
from control_plane.api.socket_frames import serve_socket
from control_plane.api.web_keys import Route, service_of
from control_plane.pictures.preview import NOBODY, Viewer, Wish
from control_plane.shapes import bodies
from control_plane.shapes.reports import stream_report
from control_plane.streams.stream import Stream

SIDES = tuple(side.name.lower() for side in Side)
FPS_MIN, FPS_MAX = 0.1, 60.0
SNAPSHOT_S = 5.0
_LOOK_EVERY_S = 1.0  # whether the caller of an endless answer is still there
_BOUNDARY = b"frame"
# What a slow viewer has not taken waits here as references to the newest, not in the kernel as
# megabytes of what is long past. One that takes nothing for so long has gone.
_UNSENT_BYTES = 1 << 16
_GONE_MS = 60_000


async def snapshot(request: web.Request) -> web.Response:
    stream = _watchable(request)
    async with watching(request, stream, wish(request.query, fps=FPS_MAX)) as viewer:
        message = await viewer.next(SNAPSHOT_S)
    if message is None:
        if viewer.over:
            raise Conflict(f"stream {stream.id!r} has ended")
        report = stream_report(stream.facts())
        raise Conflict(
            f"stream {stream.id!r} has given no picture for {SNAPSHOT_S:g} s: its health is "
            f"{report['health']}, its source {report['source']}"
        )
    return web.Response(
        body=memoryview(message)[HEADER_BYTES:].tobytes(),
        content_type="image/jpeg",
        headers={"Cache-Control": "no-store"},
    )


async def preview(request: web.Request) -> web.StreamResponse:
    stream = _watchable(request)
    async with watching(request, stream, wish(request.query)) as viewer:
        answer = web.StreamResponse(
            headers={
                "Content-Type": f"multipart/x-mixed-replace; boundary={_BOUNDARY.decode()}",
                "Cache-Control": "no-store",
            }
        )
        await answer.prepare(request)
        tune(request)
        closing = service_of(request).closing
        try:
            await answer.write(b"--" + _BOUNDARY + b"\r\n")
            while request.transport is not None and not closing.is_set() and not viewer.over:
                message = await viewer.next(_LOOK_EVERY_S)
                if message is not None:
                    await answer.write(_part(message))
            await answer.write_eof()
        except ConnectionError:
            pass  # the caller has seen enough
    return answer


def _part(message: bytes) -> bytes:
    """With the boundary that follows it: a browser shows a picture only when it has read that."""
    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (len(message) - HEADER_BYTES)
    return b"".join((head, memoryview(message)[HEADER_BYTES:], b"\r\n--", _BOUNDARY, b"\r\n"))


async def frames(request: web.Request) -> web.StreamResponse:
    stream = _watchable(request)
    side = bodies.one_of(request.query, "side", (*SIDES, "none"), "")
    tune(request)
    if side == "none":
        return await serve_socket(request, stream, None)
    async with watching(request, stream, wish(request.query)) as viewer:
        return await serve_socket(request, stream, viewer)


def wish(query: Mapping[str, str], fps: float = NOBODY.fps) -> Wish:
    """Raises InvalidInput."""
    asked_fps = bodies.real(query, "fps", FPS_MIN, FPS_MAX, "")
    return Wish(
        side=Side[(bodies.one_of(query, "side", SIDES, "") or "out").upper()],
        fps=fps if asked_fps is None else float(asked_fps),
        width=bodies.integer(query, "width", SIZE_MIN, SIZE_MAX, ""),
        quality=bodies.integer(query, "quality", 1, 100, "") or NOBODY.quality,
    )


@contextlib.asynccontextmanager
async def watching(request: web.Request, stream: Stream, wanted: Wish) -> AsyncIterator[Viewer]:
    shared, viewer = service_of(request).previews.join(stream, wanted)
    try:
        yield viewer
    finally:
        shared.leave(viewer)


def _watchable(request: web.Request) -> Stream:
    """Raises NotFound, Conflict."""
    stream = service_of(request).streams.registry.get(request.match_info["request_id"])
    if stream.finished.is_set():
        raise Conflict(f"stream {stream.id!r} has ended")
    return stream


def tune(request: web.Request) -> None:
    """Keep what a slow viewer is behind small, and notice when it is gone."""
    sock = None if request.transport is None else request.transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_MS)


ROUTES: list[Route] = [
    ("GET", "/stream/{request_id}/snapshot.jpg", snapshot),
    ("GET", "/stream/{request_id}/preview.mjpg", preview),
    ("GET", "/stream/{request_id}/frames", frames),
]
