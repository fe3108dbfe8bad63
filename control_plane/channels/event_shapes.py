"""What goes out on a stream's events channel: one JSON object a segment. Pure.

``{"event": {"type": ..., "timestamp": ...}, "queue_event_type": "ai_stream_events" |
"stream_trace"}``, with the fields that Livepeer's gateways read from ai-runner. Times are
milliseconds since 1970.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from comfytrickle.messages import Counters, Failed, StreamConfig
from comfytrickle.states import Health
from control_plane.shapes.reports import StreamFacts, health

STREAM_EVENTS = "ai_stream_events"
STREAM_TRACE = "stream_trace"
PIPELINE = "comfyui"

Event = tuple[str, dict[str, Any]]  # queue_event_type, event without its timestamp

# ai-runner's words. A stream that restarts is loading again; one whose source pauses is offline.
_STATES = {
    Health.LOADING: "LOADING",
    Health.RESTARTING: "LOADING",
    Health.WAITING: "OFFLINE",
    Health.OK: "ONLINE",
    Health.DEGRADED: "DEGRADED_INFERENCE",
    Health.STALLED: "DEGRADED_INFERENCE",
    Health.FAILED: "ERROR",
    Health.ENDED: "OFFLINE",
}
_RESTART_LOG_LINES = 50


def to_json(event: Event, stream_id: str, now: float) -> bytes:
    """``now``: time.time()."""
    queue, body = event
    stamped = {**body, "stream_id": stream_id, "timestamp": _ms(now)}
    return msgspec.json.encode({"event": stamped, "queue_event_type": queue})


def trace(type_: str) -> Event:
    return STREAM_TRACE, {"type": type_}


def error(message: str, **details: Any) -> Event:
    return STREAM_EVENTS, {"type": "error", "message": message, **details}


class Chronicle:
    """Tells what has happened to one stream between two looks at it, and how it is."""

    def __init__(self, created_at: float) -> None:
        self._created_at = created_at
        self._state = "LOADING"
        self._state_at: float | None = None
        self._params_at: float | None = None
        self._revision = 0
        self._restarts = 0
        self._restarted_at: float | None = None
        self._told: tuple[float, Failed] | None = None  # the newest failure that was told
        self._first: dict[str, Callable[[Counters], int]] = {
            "runner_receive_first_ingest_segment": lambda counters: counters.came_in,
            "runner_send_first_processed_segment": lambda counters: counters.came_out,
        }

    def look(self, facts: StreamFacts) -> list[Event]:
        """In the order in which it happened, as far as that can be known."""
        events: list[Event] = []
        counters = facts.status.counters if facts.status is not None else Counters()
        for type_ in [t for t, count in self._first.items() if count(counters)]:
            del self._first[type_]
            events.append(trace(type_))
        events += self._new_failures(facts)
        if facts.restarts > self._restarts:
            self._restarts, self._restarted_at = facts.restarts, facts.now
            events.append((STREAM_EVENTS, {"type": "restart", **self._restart(facts)}))
        if facts.config.revision != self._revision:
            self._revision, self._params_at = facts.config.revision, facts.now
            params = params_of(facts.config)
            update = {"type": "params_update", "revision": self._revision, "params": params}
            events.append((STREAM_EVENTS, {**update, "params_hash": hash_of(params)}))
        return events

    def _new_failures(self, facts: StreamFacts) -> list[Event]:
        failures = list(facts.failures)
        known = max((n for n, each in enumerate(failures, 1) if each == self._told), default=0)
        if failures:
            self._told = failures[-1]
        return [
            error(
                failed.message,
                kind=failed.kind,
                node_id=failed.node_id,
                node_type=failed.node_type,
                time=_ms(at),
            )
            for at, failed in failures[known:]
        ]

    def _restart(self, facts: StreamFacts) -> dict[str, Any]:
        death = facts.deaths[-1] if facts.deaths else None
        return {
            "restart_count": facts.restarts,
            "exit_cause": death.cause if death else None,
            "message": death.message if death else None,
            "node_id": death.node_id if death else None,
            "node_type": death.node_type if death else None,
        }

    def status(self, facts: StreamFacts) -> Event:
        """How it is, in ai-runner's shape. Unknown times and rates are null."""
        state = _STATES[health(facts)]
        if state != self._state:
            self._state, self._state_at = state, facts.now
        status = facts.status
        last = facts.failures[-1] if facts.failures else None
        params = params_of(facts.config)
        inference = {
            "last_output_time": _ago(facts, status.output_age_s if status else None),
            "fps": status.fps_out if status else None,
            "last_params": params,
            "last_params_hash": hash_of(params),
            "last_params_update_time": _ms(self._params_at),
            "last_error": last[1].message if last else None,
            "last_error_time": _ms(last[0]) if last else None,
            "last_restart_time": _ms(self._restarted_at),
            "last_restart_logs": _last_lines(facts),
            "restart_count": facts.restarts,
        }
        return STREAM_EVENTS, {
            "type": "status",
            "pipeline": PIPELINE,
            "start_time": _ms(self._created_at),
            "state": state,
            "last_state_update_time": _ms(self._state_at),
            "input_status": {
                "last_input_time": _ago(facts, status.input_age_s if status else None),
                "fps": status.fps_in if status else None,
            },
            "inference_status": inference,
        }


def params_of(config: StreamConfig) -> dict[str, Any]:
    """As a caller would send them."""
    params = {
        "prompt": config.workflow,
        "width": config.width,
        "height": config.height,
        "max_framerate": config.max_framerate,
    }
    return {key: value for key, value in params.items() if value is not None}


def hash_of(params: dict[str, Any]) -> str:
    return hashlib.md5(
        msgspec.json.encode(params, order="deterministic"), usedforsecurity=False
    ).hexdigest()


def _last_lines(facts: StreamFacts) -> list[str] | None:
    tail = facts.deaths[-1].log_tail if facts.deaths else None
    return None if tail is None else tail.splitlines()[-_RESTART_LOG_LINES:]


def _ago(facts: StreamFacts, age_s: float | None) -> int | None:
    return None if age_s is None else _ms(facts.now - age_s - (facts.status_age_s or 0.0))


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)
