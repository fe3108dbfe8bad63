"""GET /openapi.json: the calls that there are, made from the routes themselves."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from control_plane.api.answers import json_answer
from control_plane.api.openapi import describe
from control_plane.api.web_keys import Route

CALLS: web.AppKey[Iterable[tuple[str, str]]] = web.AppKey("calls")  # method and path of all


async def openapi(request: web.Request) -> web.Response:
    return json_answer(describe(request.app[CALLS]))


ROUTES: list[Route] = [("GET", "/openapi.json", openapi)]
