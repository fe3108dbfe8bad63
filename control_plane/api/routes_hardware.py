"""/hardware/info, /hardware/stats: the GPUs in ai-runner's shapes, from the last readings.

go-livepeer asks a runner for the first one when it takes it up (ai/worker/container.go).
"""

from __future__ import annotations

from aiohttp import web

from control_plane.api.answers import json_answer
from control_plane.api.routes_service import MODEL_ID, PIPELINE
from control_plane.api.web_keys import Route, service_of
from control_plane.shapes import hardware


async def info(request: web.Request) -> web.Response:
    inventory = service_of(request).inventory
    gpus = hardware.gpu_info(inventory.devices, inventory.reading)
    return json_answer({"pipeline": PIPELINE, "model_id": MODEL_ID, "gpu_info": gpus})


async def stats(request: web.Request) -> web.Response:
    inventory = service_of(request).inventory
    gpus = hardware.gpu_stats(inventory.devices, inventory.reading)
    return json_answer({"pipeline": PIPELINE, "model_id": MODEL_ID, "gpu_stats": gpus})


ROUTES: list[Route] = [("GET", "/hardware/info", info), ("GET", "/hardware/stats", stats)]
