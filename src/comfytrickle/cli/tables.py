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
        ("frames", f"{text(frames.get('in'))} in, {text(frames.get('out'))} out"),
        ("dropped", ", ".join(f"{n} {cause}" for cause, n in dropped.items() if n) or "none"),
        ("fps", f"{number(fps.get('in'))} in, {number(fps.get('out'))} out"),
        ("latency", _latency(s.get("latency_ms") or {})),
        ("memory", f"{megabytes(memory.get('rss'))}, device {megabytes(memory.get('device'))}"),
        ("params", f"revision {text(s.get('params_revision'))}"),
    ]
    if s.get("exit_cause") is not None:
        rows.append(("ended", _ending(s)))
    error = s.get("last_error")
    if error:
        node = f" (node {error['node_id']}, {error['node_type']})" if error.get("node_id") else ""
        rows.append(("error", f"{error['kind']}: {error['message']}{node}"))
    lines = [f"{name:<9}{value}" for name, value in rows]
    if error and error.get("log_tail"):
        lines += ["", *("  " + line for line in error["log_tail"].splitlines())]
    return "\n".join(lines)


def _ending(s: dict[str, Any]) -> str:
    if s.get("exit_signal"):
        return f"{s['exit_cause']}, {s['exit_signal']}"
    known = s.get("exit_code") is not None  # not when the fork server was killed, too
    return f"{s['exit_cause']}, exit code {s['exit_code']}" if known else str(s["exit_cause"])


def _latency(latency: dict[str, Any]) -> str:
    parts = [
        f"{name} {number(values['p50'])} / {number(values['p99'])}"
        for name, values in latency.items()
        if values
    ]
    return "p50 / p99 ms: " + ", ".join(parts) if parts else UNKNOWN
