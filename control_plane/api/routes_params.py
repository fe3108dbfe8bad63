"""GET /stream/{id}/params: what a stream runs with."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from control_plane.api.answers import json_answer
from control_plane.api.web_keys import Route, service_of
from control_plane.shapes import requests


async def running_params(request: web.Request) -> web.Response:
    """In the shape of a start's ``params``, with every default written out."""
    stream = service_of(request).streams.registry.get(request.match_info["request_id"])
    config = msgspec.to_builtins(stream.config)
    engine: dict[str, Any] = {"engine": stream.config.engine.name}
    params = {
        "prompt": config["workflow"],
        **{key: config[key] for key in requests.PARAM_KEYS if key in config},
        **engine,
        "encode": {key: config["encode"][key] for key in requests.ENCODE_KEYS},
    }
    return json_answer(
        {"request_id": stream.id, "revision": stream.config.revision, "params": params}
    )


ROUTES: list[Route] = [("GET", "/stream/{request_id}/params", running_params)]
