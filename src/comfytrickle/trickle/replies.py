"""The short replies of a trickle server, header by header as docs/trickle.md lists them."""

from __future__ import annotations

from aiohttp import web

from comfytrickle.trickle.protocol import (
    CLOSED_TERMINATED,
    HEADER_CLOSED,
    HEADER_LATEST,
    HEADER_SEQ,
    HEADER_WRITERS,
    REASON_NOT_IN_WINDOW,
    STATUS_NOT_IN_WINDOW,
)

_PLAIN = "text/plain; charset=utf-8"


def trickle_headers(
    *, seq: int | None = None, latest: int | None = None, closed: bool = False
) -> dict[str, str]:
    """The protocol's own reply headers; what is None or False is left out."""
    headers: dict[str, str] = {}
    if seq is not None:
        headers[HEADER_SEQ] = str(seq)
    if latest is not None:
        headers[HEADER_LATEST] = str(latest)
    if closed:
        headers[HEADER_CLOSED] = CLOSED_TERMINATED
    return headers


def error(
    status: int, text: str, *, headers: dict[str, str] | None = None, close: bool = False
) -> web.Response:
    """``text`` and a newline, as plain text. ``close``: the connection ends with this reply."""
    reply = web.Response(
        status=status,
        body=f"{text}\n".encode(),
        headers={"Content-Type": _PLAIN, "X-Content-Type-Options": "nosniff", **(headers or {})},
    )
    if close:
        reply.force_close()
    return reply


def no_stream(*, close: bool = False) -> web.Response:
    """Rows 2, 3, 15: no such channel."""
    return error(404, "Stream not found", close=close)


def invalid_index(*, close: bool = False) -> web.Response:
    """Rows 5, 16, 37, 38: not a segment number that can stand here."""
    return error(400, "Invalid idx", close=close)


def not_in_window(seq: int, latest: int) -> web.Response:
    """Rows 22, 24: ahead of the channel, or fallen out of it. Latest says where to go."""
    return web.Response(
        status=STATUS_NOT_IN_WINDOW,
        reason=REASON_NOT_IN_WINDOW,
        body=b"Entry not found",
        headers={"Content-Type": _PLAIN, **trickle_headers(seq=seq, latest=latest)},
    )


def next_number(number: int, writers: int | None) -> web.Response:
    """Row 30. ``writers``: None unless it was asked for."""
    headers = {"Content-Type": _PLAIN, **trickle_headers(latest=number)}
    if writers is not None:
        headers[HEADER_WRITERS] = str(writers)
    return web.Response(body=str(number).encode(), headers=headers)


def empty(headers: dict[str, str] | None = None, *, close: bool = False) -> web.Response:
    """200 without a body."""
    reply = web.Response(headers=headers)
    if close:
        reply.force_close()
    return reply


def not_allowed(allow: str) -> web.Response:
    """Row 39."""
    return error(405, "Method Not Allowed", headers={"Allow": allow})


def segment_too_large() -> web.Response:
    """The body is beyond Limits.max_segment_bytes."""
    return error(413, "Segment too large", close=True)
