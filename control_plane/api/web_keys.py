"""What handlers find in the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from control_plane.service import Service

SERVICE: web.AppKey[Service] = web.AppKey("service", Service)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Handler]


def service_of(request: web.Request) -> Service:
    return request.app[SERVICE]
