"""GET /stream/{id}/text: what the stream's workflow had to say lately."""

from __future__ import annotations

from aiohttp import web

from control_plane.api.web_keys import Route, service_of
from control_plane.channels.stream_texts import MIME, to_line
from control_plane.shapes import bodies
from control_plane.streams.stream import TEXTS_KEPT


async def text(request: web.Request) -> web.Response:
    """``?tail=N``: the last N lines, the newest last, as on the data channel."""
    stream_id = bodies.stream_id(request.match_info["request_id"])
    stream = service_of(request).streams.registry.get(stream_id or "")
    tail = bodies.integer(request.query, "tail", 0, TEXTS_KEPT, "")
    lines = list(stream.texts)
    if tail is not None:
        lines = lines[len(lines) - min(tail, len(lines)) :]
    return web.Response(body=b"".join(map(to_line, lines)), content_type=MIME, charset="utf-8")


ROUTES: list[Route] = [("GET", "/stream/{request_id}/text", text)]
