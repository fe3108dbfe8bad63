"""Server-sent events of what there is and what changed. Pure.

    event: streams   {"streams": {id: status}, "count": N}   all of them; first on every connection
    event: state     a status                                it is new, or it changed
    event: gone      {"request_id": id}                      it is not known any more
    event: health    as GET /health                          first, and when it changed
    event: texts     {"request_id": id, "lines": [line], "skipped": N}   its workflow said these

A line is one of ``GET /stream/{id}/text``, cut to what somebody can read; of a stream that says
more in a second the last ones are told, and how many were skipped.

A status is that of ``GET /stream/{id}/status`` without the ends of logs, which are long and can be
asked for there, and with ``changes``: the last ones that took effect, each with ``time``,
``revision`` and ``what``, a list of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from comfytrickle.messages import TextLine
from control_plane.channels.stream_texts import as_object
from control_plane.streams.applied import Applied
from control_plane.times import iso_time

HEARTBEAT = b": still here\n\n"
_RUNS_ON = "uptime_s"  # it alone is no change
LINES_TOLD = 20  # of one stream in one look
TEXT_TOLD = 4000  # characters of a line
_NONE_SAID: Mapping[str, Sequence[TextLine]] = MappingProxyType({})


def event(name: str, data: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))


def lean(status: Mapping[str, Any], applied: Iterable[Applied] = ()) -> dict[str, Any]:
    """A status without the ends of logs, with the changes that were applied."""
    error = status["last_error"]
    return {
        **status,
        "deaths": [_without_log(death) for death in status["deaths"]],
        "last_error": None if error is None else _without_log(error),
        "changes": [
            {"time": iso_time(a.at), "revision": a.revision, "what": list(a.what)} for a in applied
        ],
    }


def _without_log(what: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in what.items() if key != "log_tail"}


class Changes:
    """What the readers know; makes the events that keep them up to date."""

    def __init__(self) -> None:
        self._streams: dict[str, Mapping[str, Any]] = {}
        self._health: Mapping[str, Any] = {}
        self._said: dict[str, list[TextLine]] = {}  # by each stream, the last ones

    def update(
        self,
        streams: Mapping[str, Mapping[str, Any]],
        health: Mapping[str, Any],
        texts: Mapping[str, Sequence[TextLine]] = _NONE_SAID,
    ) -> bytes:
        """The events from what was known to this; b"" when nothing changed. ``texts``: the last
        ones of each stream that said something, the newest last."""
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
        return b"".join(events + self._update_texts(texts))

    def _update_texts(self, texts: Mapping[str, Sequence[TextLine]]) -> list[bytes]:
        events = []
        for stream_id, lines in texts.items():
            if new := _newer(lines, self._said.get(stream_id, [])):
                events.append(_texts_event(stream_id, new[-LINES_TOLD:], len(new) - LINES_TOLD))
        self._said = {
            stream_id: list(lines)[-LINES_TOLD:] for stream_id, lines in texts.items() if lines
        }
        return events

    def everything(self) -> bytes:
        """For a reader who knows nothing yet, or not any more."""
        streams = {"streams": self._streams, "count": len(self._streams)}
        said = [_texts_event(stream_id, lines, 0) for stream_id, lines in self._said.items()]
        return event("health", self._health) + event("streams", streams) + b"".join(said)


def _differ(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    if before is None or now.keys() != before.keys():
        return True
    return any(value != before[key] for key, value in now.items() if key != _RUNS_ON)


def _newer(lines: Sequence[TextLine], known: Sequence[TextLine]) -> list[TextLine]:
    """Those after the last known one; all when that is not among them any more."""
    new: list[TextLine] = []
    for line in reversed(lines):
        if known and line is known[-1]:  # two may say the same
            break
        new.append(line)
    return new[::-1]


def _texts_event(stream_id: str, lines: Iterable[TextLine], skipped: int) -> bytes:
    told = []
    for line in lines:
        value = as_object(line)
        if len(line.text) > TEXT_TOLD:
            value = {**value, "text": line.text[:TEXT_TOLD], "truncated": True}
        told.append(value)
    return event("texts", {"request_id": stream_id, "lines": told, "skipped": max(0, skipped)})
