"""POST /live-video-to-video: a start as go-livepeer's AI worker and ai-runner send it.

What they send and read: LiveVideoToVideoParams and LiveVideoToVideoResponse of ai-runner's
openapi.yaml; what is made of an error: go-livepeer, ai/worker/worker.go, LiveVideoToVideo. That
client knows 200, 400, 401, 422 and 500. Any other status it takes for a success without an answer,
and falls over it; of a 422 it expects a list.
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from control_plane.api.answers import json_answer
from control_plane.api.starting import start_stream
from control_plane.api.web_keys import Handler, Route

PATH = "/live-video-to-video"
_URLS = ("subscribe_url", "publish_url", "control_url", "events_url")  # read as strings
_KNOWN = (400, 401, 500)


async def live_video_to_video(request: web.Request) -> web.Response:
    """The four URLs are those of the request, "" for none, beside all that a start answers.

    A gateway may come back with a stream of the same id on other channels before the old ones have
    ended; the session (``manifest_id``) tells them apart.
    """
    started = await start_stream(request, any_free_id=True)
    urls = {key: getattr(started.stream.config, key) or "" for key in _URLS}
    return json_answer({**started.answer(), **urls})


@web.middleware
async def errors_as_detail(request: web.Request, handler: Handler) -> web.StreamResponse:
    """On this path, whatever went wrong is ``{"detail": {"msg": ...}}``, with a known status."""
    answer = await handler(request)
    if answer.status < 400 or not _is_here(request):
        return answer
    assert isinstance(answer, web.Response) and isinstance(answer.body, bytes)
    said: dict[str, Any] = msgspec.json.decode(answer.body)
    message = said.pop("error")
    status = answer.status if answer.status in _KNOWN else 500 if answer.status > 500 else 400
    kept = ("WWW-Authenticate", "Retry-After")
    headers = {key: value for key, value in answer.headers.items() if key in kept}
    return json_answer({"detail": {"msg": message}, **said}, status, headers)


def _is_here(request: web.Request) -> bool:
    return request.method == "POST" and request.path.rstrip("/").removeprefix("/api") == PATH


ROUTES: list[Route] = [("POST", PATH, live_video_to_video)]
