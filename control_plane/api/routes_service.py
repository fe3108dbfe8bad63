"""/health, /ready, /version: about the control plane itself. None of them waits for anything."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from comfytrickle import __version__
from comfytrickle.states import Health
from control_plane.api.answers import json_answer
from control_plane.api.web_keys import Route, service_of
from control_plane.engines.inspector import Inspector
from control_plane.service import Service
from control_plane.shapes.reports import health as stream_health

PIPELINE = "live-video-to-video"
MODEL_ID = "comfyui"


def service_word(service: Service) -> str:
    """LOADING until starts can succeed, ERROR when they cannot, then OK with streams running
    and IDLE without. One stream's trouble is told on its own status: it says nothing of the
    others, and a refused request changes nothing here.

    OK also while it drains: IDLE would ask go-livepeer for the next stream, and after the other
    two it would replace the container with the streams that still run (ai/worker/docker.go)."""
    if service.boot_error is not None or service.inspectors.default.last_error is not None:
        return "ERROR"
    if not (service.booted and service.inspectors.default.ready):
        return "LOADING"
    streams = service.streams
    return "OK" if streams.draining or streams.registry.active() else "IDLE"


def _inspector(inspector: Inspector) -> dict[str, Any]:
    return {
        "ready": inspector.ready,
        "pid": inspector.pid,
        "restarts": inspector.restarts,
        "last_error": inspector.last_error,
    }


def health_report(service: Service) -> dict[str, Any]:
    """The JSON of GET /health."""
    inventory = service.inventory
    by_health: dict[str, int] = {word.value: 0 for word in Health}
    for stream in service.streams.registry.active():
        by_health[stream_health(stream.facts()).value] += 1
    return {
        "status": service_word(service),
        "reason": service.not_ready(),
        "version": __version__,
        "uptime_s": round(time.time() - service.started_at, 3),
        "draining": service.streams.draining,
        "streams": {k: v for k, v in by_health.items() if v},
        "slots": {"total": inventory.total, "free": inventory.free},
        "waiting": service.admission.waiting,
        "devices": inventory.report(),
        "inspector": _inspector(service.inspectors.default),
        "engines": {
            name: {"default": name == service.engines.default, **_inspector(inspector)}
            for name, inspector in service.inspectors.items()
        },
        "warm": service.warm.report(),
    }


async def health(request: web.Request) -> web.Response:
    return json_answer(health_report(service_of(request)))


async def ready(request: web.Request) -> web.Response:
    reason = service_of(request).not_ready()
    if reason is None:
        return json_answer({"ready": True})
    return json_answer({"ready": False, "reason": reason}, 503, {"Retry-After": "1"})


async def version(_request: web.Request) -> web.Response:
    return json_answer({"pipeline": PIPELINE, "model_id": MODEL_ID, "version": __version__})


ROUTES: list[Route] = [
    ("GET", "/health", health),
    ("GET", "/ready", ready),
    ("GET", "/version", version),
]
