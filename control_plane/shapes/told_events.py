"""The data of the events of GET /events as schemas, for GET /openapi.json."""

from __future__ import annotations

from control_plane.shapes.told import StreamStatus, Told


class Change(Told):
    """One that took effect. ``what``: a line for each thing."""

    time: str
    revision: int
    what: list[str]


class WatchedStatus(StreamStatus):
    """Of ``GET /events``: without the ends of logs."""

    changes: list[Change]


class WatchedStreams(Told):
    streams: dict[str, WatchedStatus]
    count: int


class Gone(Told):
    request_id: str


class Text(Told):
    """``timestamp``: milliseconds since 1970; ``pts``: 90 kHz."""

    text: str
    node_id: str
    pts: int
    timestamp: int
    truncated: bool = False


class Texts(Told):
    """``skipped``: so many were said besides, before these."""

    request_id: str
    lines: list[Text]
    skipped: int
