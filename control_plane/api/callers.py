"""Who may call: the token, and no page of another site.

A browser lets a page set headers on ordinary calls but not on WebSockets; there the token comes
as one of the subprotocols that are offered, in base64 without padding, since not every character
may stand there:

    Sec-WebSocket-Protocol: comfytrickle, bearer.dG9rZW4

No cookie: one would be sent along by any page, and to every port of this host.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from control_plane.api.answers import json_answer
from control_plane.api.web_keys import Handler

SUBPROTOCOL = "comfytrickle"  # the one that the server takes up; the other is the token alone
_BEARER = "bearer."
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

OPEN_PATHS = frozenset({"/health", "/ready", ""})  # probes carry no token; "" is the page itself
OPEN_BELOW = "/web/"  # the page's files: the same for everybody, they know nothing of the streams


def require_token(token: str) -> Any:
    """A middleware that lets in only callers who know ``token``."""
    expected = token.encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if _is_open(request.path) or hmac.compare_digest(_given(request), expected):
            return await handler(request)
        return json_answer(
            {"error": "a valid Authorization: Bearer token is needed"},
            401,
            {"WWW-Authenticate": "Bearer"},
        )

    return check


@web.middleware
async def refuse_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
    """403 for what a page of another site makes a browser send: it could start streams and, over a
    WebSocket, watch them, while somebody who may is only looking at that page. Callers that are no
    browsers send none of these headers."""
    if is_websocket(request):
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text=f"a page of {origin} may not connect to {request.host}")
    elif (
        request.method not in _SAFE_METHODS
        and request.headers.get("Sec-Fetch-Site") == "cross-site"
    ):
        raise web.HTTPForbidden(text="a page of another site may not change anything here")
    return await handler(request)


def is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _is_open(path: str) -> bool:
    return path.rstrip("/").removeprefix("/api") in OPEN_PATHS or path.startswith(OPEN_BELOW)


def _given(request: web.Request) -> bytes:
    """The token that came along; b"" for none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":  # RFC 9110, 11.1: in any case
        return token.encode("utf-8", "surrogateescape")
    if is_websocket(request):
        for offered in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
            name = offered.strip()
            if name.startswith(_BEARER):
                return _decoded(name[len(_BEARER) :])
    return b""


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
