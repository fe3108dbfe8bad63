"""GET /events: how all streams go, as server-sent events."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from comfytrickle.errors import Unavailable
from control_plane.api.routes_service import health_report
from control_plane.api.web_keys import Route, service_of
from control_plane.page.feed import Feed, Look
from control_plane.page.feed_events import lean
from control_plane.service import Service
from control_plane.shapes.reports import stream_report
from control_plane.streams.stream import Stream

FEED: web.AppKey[Feed] = web.AppKey("feed", Feed)


def make_feed(service: Service) -> Feed:
    return Feed(_Looking(service), service.closing)


class _Looking:
    """Makes a look. What has ended does not change, and is written down once."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._ended: dict[Stream, dict[str, Any]] = {}

    def __call__(self) -> Look:
        registry = self._service.streams.registry
        ended = {
            stream: self._ended.get(stream) or _status(stream) for stream in registry.finished()
        }
        self._ended = ended
        streams = {stream.id: status for stream, status in ended.items()}
        for stream in registry.active():  # an id that runs again: the running one wins
            streams[stream.id] = _status(stream)
        shown = {stream.id: stream for stream in (*ended, *registry.active())}
        texts = {stream_id: tuple(s.texts) for stream_id, s in shown.items() if s.texts}
        return Look(streams, health_report(self._service), texts)


def _status(stream: Stream) -> dict[str, Any]:
    return lean(stream_report(stream.facts()), stream.applied)


async def events(request: web.Request) -> web.StreamResponse:
    if service_of(request).closing.is_set():
        raise Unavailable("shutting down: nothing to watch", retry_after=30.0)
    answer = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",  # nginx would keep it back
        }
    )
    await answer.prepare(request)

    def cut() -> None:
        if request.transport is not None:
            request.transport.abort()  # it reads too slowly for a goodbye

    try:
        async with request.app[FEED].reader(cut) as reader:
            while (some := await reader.next()) is not None:
                await answer.write(some)
        await answer.write_eof()
    except ConnectionError:
        pass  # the caller has gone, or was cut off
    return answer


ROUTES: list[Route] = [("GET", "/events", events)]
