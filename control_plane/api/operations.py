"""What each call is, for GET /openapi.json: one entry for each route, which a test demands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from control_plane.shapes import asked, told, told_events

JSON, TEXT, JPEG = "application/json", "text/plain", "image/jpeg"
_REFUSALS = {400: "wrong", 404: "no such stream", 409: "contradicts what runs", 503: "not now"}


@dataclass(frozen=True)
class Operation:
    """``refused``: the statuses of its errors besides 401 and 500. ``query``: names and schemas.
    ``events``: of an answer of server-sent events, the data of each by its name."""

    summary: str
    answer: type[Struct] | None = None  # None: no JSON, or a JSON object of no fixed fields
    mime: str = JSON
    status: int = 200
    body: type[Struct] | None = None
    query: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: tuple[int, ...] = ()
    error: type[Struct] = told.Error
    open_to_all: bool = False  # needs no token
    events: dict[str, type[Struct]] = field(default_factory=dict)


def _integer(low: int, high: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": low, "maximum": high}


_FLAG = {"type": "string", "enum": ["0", "1", "true", "false"]}
_PICTURES: dict[str, dict[str, Any]] = {
    "side": {"type": "string", "enum": ["in", "out", "both"]},
    "fps": {"type": "number", "minimum": 0.1, "maximum": 60},
    "width": _integer(16, 4096),
    "quality": _integer(1, 100),
}
_TAIL = {"tail": {"type": "integer", "minimum": 0}}
_WAIT = {"wait": {"type": "number", "minimum": 0, "maximum": 60}}
_ENGINE = {"engine": {"type": "string"}}

_ONE = "/stream/{request_id}"
_STOP = Operation("Stop a stream", told.Stopped, body=asked.Ids, query=_WAIT, refused=(404, 409))
_CHANGE = Operation(
    "Change a live stream", told.Changed, body=asked.ParamsBody, refused=(400, 404, 409, 503)
)
_STATUS = Operation("Everything about one stream", told.StreamStatus, refused=(404, 409))

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("POST", "/stream/start"): Operation(
        "Start a stream in a worker of its own",
        told.Started, body=asked.StartBody, refused=(400, 409, 503),
    ),
    ("POST", "/live-video-to-video"): Operation(
        "Start a stream, for go-livepeer: its errors are 400, 401 and 500 alone",
        told.LiveStarted, body=asked.StartBody, refused=(400,), error=told.DetailError,
    ),
    ("POST", "/stream/stop"): _STOP,
    ("POST", f"{_ONE}/stop"): _STOP,
    ("POST", "/stream/params"): _CHANGE,
    ("POST", f"{_ONE}/params"): _CHANGE,
    ("GET", f"{_ONE}/params"): Operation(
        "What a stream runs with", told.RunningParams, refused=(404,)
    ),
    ("GET", "/stream/status"): _STATUS,
    ("GET", f"{_ONE}/status"): _STATUS,
    ("GET", "/streams"): Operation(
        "The active streams", told.Streams, query={"all": _FLAG}, refused=(400,)
    ),
    ("GET", f"{_ONE}/logs"): Operation(
        "The log of a stream's worker", mime=TEXT, query={**_TAIL, "follow": _FLAG},
        refused=(400, 404),
    ),
    ("GET", f"{_ONE}/text"): Operation(
        "The last texts of a stream's workflow", mime="application/jsonl", query=_TAIL,
        refused=(400, 404),
    ),
    ("GET", f"{_ONE}/snapshot.jpg"): Operation(
        "The next picture", mime=JPEG, query=_PICTURES, refused=(400, 404, 409)
    ),
    ("GET", f"{_ONE}/preview.mjpg"): Operation(
        "All pictures", mime="multipart/x-mixed-replace", query=_PICTURES, refused=(400, 404, 409)
    ),
    ("GET", f"{_ONE}/frames"): Operation(
        "A WebSocket of pictures, both ways", mime="", status=101,
        query={**_PICTURES, "send": _integer(0, 1), "end": _integer(0, 1)},
        refused=(400, 404, 409),
    ),
    ("POST", "/workflow/validate"): Operation(
        "Could this workflow run?", told.Validated, body=asked.LiveParams, query=_ENGINE,
        refused=(400, 503),
    ),
    ("GET", "/nodes"): Operation("All node types of an engine", query=_ENGINE, refused=(503,)),
    ("GET", "/nodes/failed"): Operation(
        "Node packs that did not load", told.FailedPacks, query=_ENGINE, refused=(503,)
    ),
    ("GET", "/examples"): Operation("The example workflows", told.Examples),
    ("GET", "/examples/{name}"): Operation("An example workflow", refused=(404,)),
    ("GET", "/quarantine"): Operation("Workflows that are not started", told.Quarantine),
    ("DELETE", "/quarantine/{digest}"): Operation("Let one out", told.Done, refused=(404,)),
    ("GET", "/events"): Operation(
        "How all streams go, without asking again", mime="text/event-stream", refused=(503,),
        events={
            "streams": told_events.WatchedStreams, "state": told_events.WatchedStatus,
            "gone": told_events.Gone, "health": told.Health, "texts": told_events.Texts,
        },
    ),
    ("GET", "/health"): Operation("How it goes", told.Health, open_to_all=True),
    ("GET", "/ready"): Operation(
        "Can a start succeed?", told.Ready, refused=(503,), error=told.Ready, open_to_all=True
    ),
    ("GET", "/version"): Operation("What this is", told.Version),
    ("GET", "/hardware/info"): Operation("The GPUs", told.HardwareInfo),
    ("GET", "/hardware/stats"): Operation("How busy the GPUs are", told.HardwareStats),
    ("GET", "/metrics"): Operation("For Prometheus", mime=TEXT),
    ("POST", "/drain"): Operation("Let no new streams in", told.Draining),
    ("DELETE", "/drain"): Operation("Let new streams in again", told.Draining, refused=(409,)),
    ("GET", "/openapi.json"): Operation("This description"),
}  # fmt: skip


def reason(status: int) -> str:
    return _REFUSALS[status]
