"""/drain: no new streams, while those that run go on to their own end; and back again."""

from __future__ import annotations

import logging

from aiohttp import web

from comfytrickle.errors import Conflict
from control_plane.api.answers import json_answer
from control_plane.api.web_keys import Route, service_of

log = logging.getLogger(__name__)


async def drain(request: web.Request) -> web.Response:
    """Idempotent. Whatever the body is, nobody reads it."""
    streams = service_of(request).streams
    if not streams.draining:
        log.info("draining: no new streams")
    streams.draining = True
    return _answer(request)


async def undo(request: web.Request) -> web.Response:
    """Idempotent. Not while the control plane ends: that cannot be taken back."""
    service = service_of(request)
    if service.closing.is_set():
        raise Conflict("the control plane is shutting down")
    if service.streams.draining:
        log.info("not draining any more")
    service.streams.draining = False
    return _answer(request)


def _answer(request: web.Request) -> web.Response:
    streams = service_of(request).streams
    count = len(streams.registry.active())
    running = f"{count} stream{'' if count == 1 else 's'} running"
    message = f"no new streams; {running}" if streams.draining else f"open; {running}"
    return json_answer(
        {"status": "success", "message": message, "draining": streams.draining, "count": count}
    )


ROUTES: list[Route] = [("POST", "/drain", drain), ("DELETE", "/drain", undo)]
