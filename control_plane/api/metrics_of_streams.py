"""What is measured of each active stream, labelled with its id. A stream that has ended is not
there any more; what it counted stays in the totals of :mod:`control_plane.api.metrics_of_pool`.
"""

from __future__ import annotations

from collections.abc import Iterable

from control_plane.shapes.exposition import Family
from control_plane.shapes.reports import stream_report
from control_plane.streams.stream import Stream

_QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


def stream_families(active: Iterable[Stream]) -> list[Family]:
    frames_in = _counter("frames_in", "Pictures that came from the source.")
    frames_out = _counter("frames_out", "Pictures that went out.")
    dropped = _counter("frames_dropped", "Pictures that came in and did not go out, by cause.")
    rate = _gauge("frames_per_second", "Over the last seconds, by direction (in, out).")
    latency = _gauge("latency_seconds", "Quantiles over the last frames, by stage.")
    restarts = _counter("restarts", "How often its worker was replaced.")
    rss = _gauge("resident_memory_bytes", "Of its worker, shared pages included.")
    device_memory = _gauge("device_memory_bytes", "Held by torch on the device.")
    info = _gauge("info", "1; its labels say how it stands.")
    for stream in active:
        report = stream_report(stream.facts())
        who = stream.id
        info.add(1, stream=who, device=report["device"], engine=report["engine"],
                 state=report["state"], health=report["health"])  # fmt: skip
        restarts.add(report["restarts"], stream=who)
        frames_in.add(report["frames"]["in"], stream=who)
        frames_out.add(report["frames"]["out"], stream=who)
        for cause, count in report["frames"]["dropped"].items():
            dropped.add(count, stream=who, cause=cause)
        for direction, value in report["fps"].items():
            rate.add(value, stream=who, direction=direction)
        for stage, quantiles in report["latency_ms"].items():
            for name, value in (quantiles or {}).items():
                latency.add(value / 1000, stream=who, stage=stage, quantile=_QUANTILES[name])
        rss.add(report["memory"]["rss"], stream=who)
        device_memory.add(report["memory"]["device"], stream=who)
    return [
        info, restarts, frames_in, frames_out, dropped, rate, latency, rss, device_memory,
    ]  # fmt: skip


def _gauge(name: str, help_text: str) -> Family:
    return Family(f"comfytrickle_stream_{name}", "gauge", help_text)


def _counter(name: str, help_text: str) -> Family:
    return Family(f"comfytrickle_stream_{name}_total", "counter", help_text)
