"""What a stream's status says, made from facts. Pure: the clock and all readings are passed in.

Numbers are measurements; what is not known is None, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from comfytrickle.messages import STATUS_INTERVAL_S, Counters, Failed, Status, StreamConfig
from comfytrickle.states import ExitCause, Health, State
from control_plane.streams.policy import GOOD_ENDS
from control_plane.streams.quarantine import Death
from control_plane.times import iso_time

STATUS_STALE_S = 10 * STATUS_INTERVAL_S  # a worker that is silent this long is not well
INPUT_IDLE_S = 3.0  # no frame for this long: the source is silent
OUTPUT_LATE_S = 5.0  # frames come in and none came out for this long
OVERLOAD_SHARE = 0.1  # of the frames that came in lately, dropped for want of time

_FAULTS = ("damaged", "undecodable", "error", "encode", "sink")


@dataclass(frozen=True)
class StreamFacts:
    """One stream at one moment. Times are time.time() seconds; ages are seconds."""

    config: StreamConfig
    device: str | None
    state: State
    created_at: float
    now: float
    pid: int | None = None
    ready_at: float | None = None
    ended_at: float | None = None
    exit_cause: ExitCause | None = None
    exit_code: int | None = None
    exit_signal: str | None = None
    stop_asked: bool = False
    status: Status | None = None
    status_age_s: float | None = None
    failures: Sequence[tuple[float, Failed]] = ()
    earlier: Counters | None = None  # some seconds ago: what changed since is "lately"
    restarts: int = 0
    deaths: Sequence[Death] = ()  # of its former workers, the oldest first
    log_tail: str | None = None  # read after the end only


def health(facts: StreamFacts) -> Health:
    """One word for how it goes. A stream whose worker is gone or silent is never OK."""
    if facts.state is State.EXITED:
        asked = facts.stop_asked and facts.exit_cause is ExitCause.KILLED_BY_US
        return Health.ENDED if facts.exit_cause in GOOD_ENDS or asked else Health.FAILED
    if facts.ready_at is None:
        return Health.RESTARTING if facts.restarts or facts.deaths else Health.LOADING
    status = facts.status
    if status is None or facts.status_age_s is None or facts.status_age_s > STATUS_STALE_S:
        return Health.STALLED
    if status.input_age_s is None or status.input_age_s + facts.status_age_s > INPUT_IDLE_S:
        return Health.WAITING
    if _output_is_late(status):
        return Health.STALLED
    if status.sink == "retrying" or _suffered_lately(status.counters, facts.earlier):
        return Health.DEGRADED
    return Health.OK


def _output_is_late(status: Status) -> bool:
    if status.output_age_s is not None:
        return status.output_age_s > OUTPUT_LATE_S
    # Nothing came out yet: since when the input flows is known from its count and rate.
    rate = status.fps_in
    return bool(rate) and status.counters.frames_in / rate > OUTPUT_LATE_S  # type: ignore[operator]


def _suffered_lately(now: Counters, earlier: Counters | None) -> bool:
    before = earlier or Counters()
    dropped = {cause: count - before.dropped.get(cause, 0) for cause, count in now.dropped.items()}
    if any(dropped.get(cause, 0) > 0 for cause in _FAULTS):
        return True
    if now.node_errors > before.node_errors or now.segments_lost > before.segments_lost:
        return True
    if earlier is None:
        return False  # it has just begun: what had waited for it is dropped at once
    frames = now.frames_in - before.frames_in
    return frames > 0 and dropped.get("latest", 0) / frames > OVERLOAD_SHARE


def stream_report(facts: StreamFacts) -> dict[str, Any]:
    """The JSON of GET /stream/{id}/status."""
    config, status = facts.config, facts.status
    running = facts.state is not State.EXITED
    fresh = (
        status if running and (facts.status_age_s or 0.0) <= STATUS_STALE_S else None
    )  # rates and memory describe the present; totals and latencies stay true
    counters = status.counters if status is not None else None
    end = facts.ended_at if facts.ended_at is not None else facts.now
    width, height = _size(facts)
    return {
        "request_id": config.stream_id,
        "running": running,
        "state": facts.state.value,
        "health": health(facts).value,
        "pipeline_ready": facts.state in (State.READY, State.STREAMING),
        "engine": facts.config.engine.name,
        "device": facts.device,
        "pid": facts.pid,
        "uptime_s": round(max(0.0, end - facts.created_at), 3),
        "started_at": iso_time(facts.created_at),
        "ready_at": iso_time(facts.ready_at),
        "ended_at": iso_time(facts.ended_at),
        "width": width,
        "height": height,
        "subscribe_url": config.subscribe_url,
        "publish_url": config.publish_url,
        "control_url": config.control_url,
        "events_url": config.events_url,
        "data_url": config.data_url,
        "frame_count": counters.frames_out if counters else None,
        "frames": _frames(counters),
        "fps": {"in": fresh.fps_in if fresh else None, "out": fresh.fps_out if fresh else None},
        "latency_ms": _latency(status),
        "audio": _audio(counters),
        "segments": {
            "in": counters.segments_in if counters else None,
            "out": counters.segments_out if counters else None,
            "lost": counters.segments_lost if counters else None,
        },
        "bytes": {
            "in": counters.bytes_in if counters else None,
            "out": counters.bytes_out if counters else None,
        },
        "transport_retries": counters.transport_retries if counters else None,
        "node_errors": counters.node_errors if counters else None,
        "source": fresh.source if fresh else None,
        "sink": fresh.sink if fresh else None,
        "memory": {
            "rss": fresh.rss if fresh else None,
            "device": fresh.device_memory if fresh else None,
        },
        "params_revision": config.revision,
        "restarts": facts.restarts,
        "deaths": [death.report() for death in facts.deaths],
        "last_error": last_error(facts),
        "exit_cause": facts.exit_cause.value if facts.exit_cause else None,
        "exit_code": facts.exit_code,
        "exit_signal": facts.exit_signal,
        "detail": status.detail if status is not None else {},
    }


def _size(facts: StreamFacts) -> tuple[int | None, int | None]:
    """What the engine really sees, else what was asked for."""
    status = facts.status
    if status is not None and status.width is not None:
        return status.width, status.height
    return facts.config.width, facts.config.height


def _frames(counters: Counters | None) -> dict[str, Any]:
    if counters is None:
        return {"in": None, "out": None, "dropped": {}, "passed_through": None}
    return {
        "in": counters.frames_in,
        "out": counters.frames_out,
        "dropped": counters.dropped,
        "passed_through": counters.passed_through,
    }


def _audio(counters: Counters | None) -> dict[str, Any]:
    if counters is None:
        return {"in": None, "out": None, "silence": None, "unheard": None, "dropped": {}}
    return {
        "in": counters.audio_in,
        "out": counters.audio_out,
        "silence": counters.audio_silence,
        "unheard": counters.audio_unheard,
        "dropped": counters.audio_dropped,
    }


def _latency(status: Status | None) -> dict[str, Any]:
    names = ("decode", "engine", "encode", "total")
    if status is None:
        return dict.fromkeys(names)
    return {
        name: None if value is None else msgspec.to_builtins(value)
        for name in names
        for value in [getattr(status.latency, name)]
    }


def last_error(facts: StreamFacts) -> dict[str, Any] | None:
    """The newest failure that the worker reported; for a worker that died without a word, its
    end itself. None: nothing went wrong."""
    died = health(facts) is Health.FAILED
    newest = facts.failures[-1] if facts.failures else None
    if newest is not None and not (died and newest[1].retryable):
        when, failed = newest
    elif died:
        message = _how_it_ended(facts)
        # It had survived that one, yet it may be a hint; another worker's end is none.
        if newest is not None and newest[1].kind != "worker":
            message += f"; its last report was: {newest[1].message}"
        when = facts.ended_at if facts.ended_at is not None else facts.now
        failed = Failed("worker", message)
    else:
        return None
    return {
        "kind": failed.kind,
        "message": failed.message,
        "node_id": failed.node_id,
        "node_type": failed.node_type,
        "time": iso_time(when),
        "log_tail": facts.log_tail if died else _log_tail_of(failed, facts.deaths),
    }


def _log_tail_of(failed: Failed, deaths: Sequence[Death]) -> str | None:
    """For a worker that died and was replaced: its last lines."""
    is_its_end = failed.kind == "worker" or not failed.retryable
    return deaths[-1].log_tail if deaths and is_its_end else None


def _how_it_ended(facts: StreamFacts) -> str:
    cause = facts.exit_cause.value if facts.exit_cause else "unknown"
    if facts.exit_signal:
        return f"the worker ended: {cause} ({facts.exit_signal})"
    if facts.exit_code is not None:
        return f"the worker ended: {cause} (exit code {facts.exit_code})"
    return f"the worker ended: {cause}"
