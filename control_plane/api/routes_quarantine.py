"""/quarantine: workflows that are not started any more, and how to let one out."""

from __future__ import annotations

from aiohttp import web

from comfytrickle.errors import NotFound
from control_plane.api.answers import json_answer
from control_plane.api.web_keys import Route, service_of


async def listing(request: web.Request) -> web.Response:
    stories = service_of(request).streams.quarantine.all_held()
    return json_answer({"workflows": [story.report() for story in stories], "count": len(stories)})


async def release(request: web.Request) -> web.Response:
    digest = request.match_info["digest"]
    if not service_of(request).streams.quarantine.release(digest):
        raise NotFound(f"no workflow {digest!r} is in quarantine")
    return json_answer({"status": "success", "message": f"workflow {digest} may be started again"})


ROUTES: list[Route] = [
    ("GET", "/quarantine", listing),
    ("DELETE", "/quarantine/{digest}", release),
]
