"""HTTP answers: JSON bodies, and errors mapped to a status and a body of one shape."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from comfytrickle.errors import (
    ComfytrickleError,
    Conflict,
    InvalidInput,
    InvalidWorkflow,
    NotFound,
    Quarantined,
    Unavailable,
)

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_answer(
    body: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def error_answer(error: ComfytrickleError) -> web.Response:
    """``{"error", "field"?, "node_errors"?}`` with the status that the error's class means."""
    body: dict[str, Any] = {"error": str(error)}
    headers: dict[str, str] = {}
    if isinstance(error, InvalidInput):
        status = 400
        body["field"] = error.field
        if isinstance(error, InvalidWorkflow):
            body["node_errors"] = error.node_errors()
    elif isinstance(error, NotFound):
        status = 404
    elif isinstance(error, Conflict):
        status = 409
        if isinstance(error, Quarantined):
            body["quarantine"] = error.story
    else:  # Unavailable; a worker that failed: the same request may succeed on the next one
        status = 503
        retry_after = error.retry_after if isinstance(error, Unavailable) else 1.0
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return json_answer(body, status, headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The edge where every error becomes an answer."""
    try:
        return await handler(request)
    except ComfytrickleError as error:
        log.info("%s %s: %s", request.method, request.path, error)
        return error_answer(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {k: v for k, v in error.headers.items() if k in ("Allow", "Retry-After")}
        return json_answer({"error": _http_reason(request, error)}, error.status, headers)
    except Exception:  # a bug of ours: the caller gets an id, the log gets everything
        error_id = secrets.token_hex(6)
        log.exception("error %s in %s %s", error_id, request.method, request.path)
        return json_answer({"error": "internal error", "error_id": error_id}, 500)


def _http_reason(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"no such path: {request.path}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return f"{request.method} is not allowed here; use {allowed}"
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"the body is too large: {error.text}"
    return error.text or error.reason
