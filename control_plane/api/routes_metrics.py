"""GET /metrics: for Prometheus."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from aiohttp import web

from control_plane.api.metrics_of_pool import pool_families
from control_plane.api.metrics_of_streams import stream_families
from control_plane.api.web_keys import Route, service_of
from control_plane.shapes.exposition import CONTENT_TYPE, Family, render

_PROC = Path("/proc/self")


async def metrics(request: web.Request) -> web.Response:
    service = service_of(request)
    families = [
        *pool_families(service),
        *stream_families(service.streams.registry.active()),
        *process_families(service.started_at),
    ]
    return web.Response(body=render(families), headers={"Content-Type": CONTENT_TYPE})


def process_families(started_at: float) -> list[Family]:
    """Of the control plane's own process, under the names that all of Prometheus' clients use:
    https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics"""
    times = os.times()
    # proc(5): sizes in pages, the whole and what is resident
    whole, resident = (_PROC / "statm").read_text().split()[:2]
    page = resource.getpagesize()
    values: dict[str, tuple[float, str]] = {
        "process_cpu_seconds_total": (times.user + times.system, "Of user and system."),
        "process_resident_memory_bytes": (int(resident) * page, "Resident memory."),
        "process_virtual_memory_bytes": (int(whole) * page, "Virtual memory."),
        "process_open_fds": (sum(1 for _ in (_PROC / "fd").iterdir()), "Open file descriptors."),
        "process_max_fds": (resource.getrlimit(resource.RLIMIT_NOFILE)[0], "As many may be open."),
        "process_start_time_seconds": (started_at, "Since 1970."),
    }
    return [
        Family(name, "counter" if name.endswith("_total") else "gauge", text).add(value)
        for name, (value, text) in values.items()
    ]


ROUTES: list[Route] = [("GET", "/metrics", metrics)]
