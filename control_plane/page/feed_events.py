"""Server-sent events of what there is and what changed. Pure.

    event: streams   {"streams": {id: status}, "count": N}   all of them; first on every connection
    event: state     a status                                it is new, or it changed
    event: gone      {"request_id": id}                      it is not known any more
    event: health    as GET /health                          first, and when it changed

A status is that of ``GET /stream/{id}/status`` without the ends of logs, which are long and can be
asked for there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

HEARTBEAT = b": still here\n\n"
_RUNS_ON = "uptime_s"  # it alone is no change


def event(name: str, data: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))


def lean(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status without the ends of logs."""
    error = status["last_error"]
    return {
        **status,
        "deaths": [_without_log(death) for death in status["deaths"]],
        "last_error": None if error is None else _without_log(error),
    }


def _without_log(what: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in what.items() if key != "log_tail"}


class Changes:
    """What the readers know; makes the events that keep them up to date."""

    def __init__(self) -> None:
        self._streams: dict[str, Mapping[str, Any]] = {}
        self._health: Mapping[str, Any] = {}

    def update(self, streams: Mapping[str, Mapping[str, Any]], health: Mapping[str, Any]) -> bytes:
        """The events from what was known to this; b"" when nothing changed."""
        events = [
            event("state", status)
            for stream_id, status in streams.items()
            if _differ(status, self._streams.get(stream_id))
        ]
        left = [stream_id for stream_id in self._streams if stream_id not in streams]
        events += [event("gone", {"request_id": stream_id}) for stream_id in left]
        if _differ(health, self._health):
            events.append(event("health", health))
        self._streams, self._health = dict(streams), health
        return b"".join(events)

    def everything(self) -> bytes:
        """For a reader who knows nothing yet, or not any more."""
        return event("health", self._health) + event(
            "streams", {"streams": self._streams, "count": len(self._streams)}
        )


def _differ(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    if before is None or now.keys() != before.keys():
        return True
    return any(value != before[key] for key, value in now.items() if key != _RUNS_ON)
