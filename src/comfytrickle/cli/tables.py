"""Readable text out of the API's JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNKNOWN = "-"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell, two spaces between."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = (
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in (header, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)


def number(value: float | None, digits: int = 1) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def text(value: Any) -> str:
    return UNKNOWN if value is None else str(value)


def megabytes(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value / 1e6:.0f} MB"


def duration(seconds: float | None) -> str:
    """``75.2`` -> ``1m15s``."""
    if seconds is None:
        return UNKNOWN
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def stream_list(streams: dict[str, dict[str, Any]]) -> str:
    """One line a stream."""
    header = ("ID", "STATE", "HEALTH", "DEVICE", "UP", "SIZE", "FPS IN", "FPS OUT", "P50 MS")
    return table(header, [_row(s) for s in streams.values()])


def _row(s: dict[str, Any]) -> list[str]:
    total = (s.get("latency_ms") or {}).get("total") or {}
    return [
        text(s.get("request_id")),
        text(s.get("state")),
        text(s.get("health")),
        text(s.get("device")),
        duration(s.get("uptime_s")),
        _size(s),
        number((s.get("fps") or {}).get("in")),
        number((s.get("fps") or {}).get("out")),
        number(total.get("p50")),
    ]


def _size(s: dict[str, Any]) -> str:
    return UNKNOWN if s.get("width") is None else f"{s['width']}x{s['height']}"


def stream_status(s: dict[str, Any]) -> str:
    """All that matters of one stream, a line each."""
    frames, fps = s.get("frames") or {}, s.get("fps") or {}
    dropped = frames.get("dropped") or {}
    memory = s.get("memory") or {}
    rows = [
        ("stream", text(s.get("request_id"))),
        ("state", f"{text(s.get('state'))} ({text(s.get('health'))})"),
        ("worker", f"pid {text(s.get('pid'))} on {text(s.get('device'))}"),
        ("up", f"{duration(s.get('uptime_s'))}, since {text(s.get('started_at'))}"),
        ("size", _size(s)),
        ("source", f"{text(s.get('source'))}  {text(s.get('subscribe_url'))}"),
        ("sink", f"{text(s.get('sink'))}  {text(s.get('publish_url'))}"),
        ("frames", "no video comes in" if _is_sound_alone(s) else _frames(frames)),
        ("dropped", ", ".join(f"{n} {cause}" for cause, n in dropped.items() if n) or "none"),
        ("sound", _sound(s.get("audio") or {}, s.get("detail") or {})),
        ("fps", f"{number(fps.get('in'))} in, {number(fps.get('out'))} out"),
        ("latency", _latency(s.get("latency_ms") or {})),
        ("memory", f"{megabytes(memory.get('rss'))}, device {megabytes(memory.get('device'))}"),
        ("params", f"revision {text(s.get('params_revision'))}"),
        ("restarts", _restarts(s)),
    ]
    if s.get("exit_cause") is not None:
        rows.append(("ended", _ending(s)))
    error = s.get("last_error")
    if error:
        node = f" (node {error['node_id']}, {error['node_type']})" if error.get("node_id") else ""
        rows.append(("error", f"{error['kind']}: {error['message']}{node}"))
    lines = [f"{name:<10}{value}" for name, value in rows]
    if error and error.get("log_tail"):
        lines += ["", *("  " + line for line in error["log_tail"].splitlines())]
    return "\n".join(lines)


def _is_sound_alone(s: dict[str, Any]) -> bool:
    codec, frames = (s.get("detail") or {}).get("codec_in"), (s.get("frames") or {}).get("in")
    return not codec and not frames and bool((s.get("audio") or {}).get("in"))


def _frames(frames: dict[str, Any]) -> str:
    names = (("in", "in"), ("out", "out"), ("passed_through", "passed through"))
    return ", ".join(f"{text(frames.get(key))} {words}" for key, words in names)


def _restarts(s: dict[str, Any]) -> str:
    deaths = s.get("deaths") or []
    if not s.get("restarts") or not deaths:
        return text(s.get("restarts"))
    return f"{s['restarts']}, the last at {deaths[-1].get('time')}: {_ending(deaths[-1])}"


_WAYS = {
    "passed on": "passed on as it came",
    "encoded": "encoded anew",
    "workflow": "through the workflow",
    "off": "left out",
}


def _sound(audio: dict[str, Any], detail: dict[str, Any]) -> str:
    track = detail.get("audio")
    if not track and not audio.get("in"):
        return UNKNOWN if audio.get("in") is None else "none comes in"
    parts = [f"{text(audio.get('in'))} in, {text(audio.get('out'))} out"]
    if track:
        tracks = f", {track['tracks']} tracks" if track.get("tracks", 1) > 1 else ""
        source = track["codec_in"] or "silence"  # of a source without sound
        parts.insert(0, f"{source}{tracks}, {_WAYS.get(track['way'], track['way'])}")
    for key, words in (("silence", "of silence"), ("unheard", "without the workflow")):
        if audio.get(key):
            parts.append(f"{audio[key]} {words}")
    parts += [f"{n} {cause}" for cause, n in (audio.get("dropped") or {}).items() if n]
    return ", ".join(parts)


_CAUSES = {
    "clean": "by itself",
    "requested": "stopped",
    "source_ended": "its source ended",
    "startup_error": "it could not start",
    "startup_timeout": "it did not start in time",
    "unresponsive": "it was hung",
    "signalled": "killed from outside",
    "nonzero": "its program broke off with an error",
    "killed_by_us": "it did not end in time, and was killed",
}


def _ending(s: dict[str, Any]) -> str:
    """How a stream, or one of its workers, ended: in words, by the API's word, and with what."""
    cause = str(s["exit_cause"])
    signal, code = s.get("exit_signal") or s.get("signal"), s.get("exit_code")
    more = signal or (None if code is None else f"exit code {code}")  # neither: it cannot be told
    known = f"{cause}, {more}" if more else cause
    return f"{_CAUSES[cause]} ({known})" if cause in _CAUSES else known


def _latency(latency: dict[str, Any]) -> str:
    parts = [
        f"{name} {number(values['p50'])} / {number(values['p99'])}"
        for name, values in latency.items()
        if values
    ]
    return "p50 / p99 ms: " + ", ".join(parts) if parts else UNKNOWN
