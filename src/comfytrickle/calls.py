"""The calls of the HTTP API as their callers see them: request shapes, and what no answer means.

Shared by :mod:`comfytrickle.client` and the command line, which has its own way to send them. The
standard library alone, so that a command starts in a moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

DEFAULT_URL = "http://127.0.0.1:8889"
TIMEOUT_S = 90.0  # longer than the server takes for anything but what has no end
STOP_WAIT_S = 30.0  # every stop is over by then
TAIL = 200  # lines of a log

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Refused(Exception):
    """The server answered, and said no.

    ``status`` is the HTTP status, ``body`` the JSON answer ({} where it was none), ``retry_after``
    the seconds after which a 503 may be another answer (None: the server did not say).
    """

    def __init__(
        self, status: int, body: dict[str, Any] | None = None, retry_after: float | None = None
    ) -> None:
        self.status = status
        self.body = body or {}
        self.retry_after = retry_after
        super().__init__(str(self.body.get("error") or f"HTTP {status}"))

    @property
    def field(self) -> str | None:
        """What is wrong in the request, such as ``"params.width"``; "" is the body itself."""
        field = self.body.get("field")
        return None if field is None else str(field)

    @property
    def node_errors(self) -> dict[str, Any]:
        """By node id, in ComfyUI's shape; {} unless a workflow was refused for its nodes."""
        return dict(self.body.get("node_errors") or {})

    @property
    def story(self) -> dict[str, Any] | None:
        """Of a workflow in quarantine: its digest, node types and deaths."""
        return self.body.get("quarantine")


class Unreachable(Exception):
    """No answer, the connection was lost, or what answers is no control plane."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``path`` has the query in it; ``body`` None: there is none."""

    method: str
    path: str
    body: Any = None


def start(params: Mapping[str, Any], stream_id: str | None = None, **urls: str | None) -> Call:
    """``urls``: subscribe_url, publish_url, control_url, events_url, data_url; None: none."""
    body = {**urls, "gateway_request_id": stream_id, "params": dict(params)}
    return Call("POST", "/stream/start", body)


def stop(stream_id: str | None, wait_s: float = STOP_WAIT_S) -> Call:
    return Call("POST", stream_path(stream_id, "stop", wait=f"{wait_s:g}"), {})


def status(stream_id: str | None) -> Call:
    return Call("GET", stream_path(stream_id, "status"))


def change(stream_id: str | None, params: Mapping[str, Any]) -> Call:
    return Call("POST", stream_path(stream_id, "params"), {"params": dict(params)})


def running_params(stream_id: str) -> Call:
    return Call("GET", stream_path(stream_id, "params"))


def logs(stream_id: str, tail: int = TAIL, follow: bool = False) -> Call:
    return Call("GET", stream_path(stream_id, "logs", tail=tail, follow=1 if follow else None))


def snapshot(stream_id: str, side: str, width: int | None, quality: int | None) -> Call:
    query = {"side": side, "width": width, "quality": quality}
    return Call("GET", stream_path(stream_id, "snapshot.jpg", **query))


def frames(stream_id: str, side: str, fps: float, width: int | None, quality: int | None) -> Call:
    """A WebSocket that shows pictures."""
    query = {"side": side, "fps": f"{fps:g}", "width": width, "quality": quality}
    return Call("GET", stream_path(stream_id, "frames", **query))


def camera(stream_id: str, end: bool = False) -> Call:
    """A WebSocket that takes frames. ``end``: the stream ends with it."""
    query = {"side": "none", "send": 1, "end": 1 if end else None}
    return Call("GET", stream_path(stream_id, "frames", **query))


def streams(ended: bool = False) -> Call:
    """``ended``: those that ended lately, too."""
    return Call("GET", _with_query("/streams", all=1 if ended else None))


def validate(workflow: Any, engine: str | None = None) -> Call:
    return Call("POST", _with_query("/workflow/validate", engine=engine), {"workflow": workflow})


def drain(undo: bool = False) -> Call:
    """No new streams; ``undo``: again."""
    return Call("DELETE" if undo else "POST", "/drain")


def nodes(engine: str | None = None) -> Call:
    return Call("GET", _with_query("/nodes", engine=engine))


def stream_path(stream_id: str | None, what: str, **query: Any) -> str:
    """The path of a stream's call; without an id, that of the only active stream."""
    middle = "" if stream_id is None else quote(stream_id, safe="") + "/"
    return _with_query(f"/stream/{middle}{what}", **query)


def _with_query(path: str, **query: Any) -> str:
    """Without what is None."""
    given = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def error_body(raw: bytes) -> dict[str, Any]:
    """The JSON of a refusal; {} for what is none (a proxy's page)."""
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def is_local(url: str) -> bool:
    """Whether it leads to this machine: a proxy set for the internet must not be asked for it."""
    return urlsplit(url).hostname in _LOOPBACK
