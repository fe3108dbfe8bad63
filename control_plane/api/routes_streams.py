"""The calls about streams: start, stop, status, list, params, logs."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

from comfytrickle.errors import ComfytrickleError, InvalidInput
from comfytrickle.workflow.parse import InvalidShape
from control_plane.api.answers import json_answer
from control_plane.api.judging import all_errors
from control_plane.api.starting import start_stream
from control_plane.api.web_keys import Route, service_of
from control_plane.processes import logfiles
from control_plane.shapes import bodies, requests
from control_plane.shapes.reports import stream_report
from control_plane.streams.stream import Stream
from control_plane.waiting import happens_within

log = logging.getLogger(__name__)

DEFAULT_TAIL = 200  # lines
STOP_WAIT_S = 2.0  # a healthy worker drains within; the caller of a stuck one is not kept waiting
STOP_WAIT_MAX_S = 60.0
FOLLOW_EVERY_S = 0.25  # how often a followed log is looked at


async def start(request: web.Request) -> web.Response:
    return json_answer((await start_stream(request)).answer())


async def stop(request: web.Request) -> web.Response:
    """``?wait=S``: how long the answer may wait for the end, which goes on all the same."""
    wait_s = bodies.real(request.query, "wait", 0, STOP_WAIT_MAX_S, "")
    stream = _named_stream(request, await _any_body(request))
    over = stream.finished.is_set()
    gone = await service_of(request).streams.stop(
        stream, wait_s=STOP_WAIT_S if wait_s is None else wait_s
    )
    message = "stream stopped" if gone else "stream is stopping"
    return json_answer(
        {
            "status": "success",
            "message": "stream had ended already" if over else message,
            "request_id": stream.id,
            "state": stream.state.value,
        }
    )


async def params(request: web.Request) -> web.Response:
    body = bodies.decode_object(await request.read())
    stream = _named_stream(request, body)
    try:
        change = requests.read_params(body)
    except InvalidShape as error:
        raise await all_errors(service_of(request), error, stream.config.engine.name) from error
    if change.ignored:
        log.info("stream %s: ignored in its params: %s", stream.id, ", ".join(change.ignored))
    revision = await service_of(request).streams.changes.apply(stream, change)
    return json_answer(
        {
            "status": "success",
            "message": "params applied" if change.changes_frames else "nothing to change",
            "request_id": stream.id,
            "revision": revision,
            "ignored": change.ignored,
        }
    )


async def status(request: web.Request) -> web.Response:
    return json_answer(stream_report(_named_stream(request, {}).facts()))


async def list_streams(request: web.Request) -> web.Response:
    """The active ones; with ``?all=1`` also those that ended lately."""
    streams = service_of(request).streams
    chosen = streams.registry.active()
    if _flag(request, "all"):
        chosen = [
            *streams.registry.finished(),
            *chosen,
        ]  # an id that runs again: the running one wins
    reports = {stream.id: stream_report(stream.facts()) for stream in chosen}
    return json_answer({"streams": reports, "count": len(reports)})


async def logs(request: web.Request) -> web.StreamResponse:
    """``?tail=N`` lines as text; ``&follow=1`` goes on until the stream or the caller ends."""
    stream = _named_stream(request, {})
    lines = bodies.integer(request.query, "tail", 0, logfiles.MAX_LINES, "")
    path = service_of(request).logs.stream(stream.id)
    text, end = await asyncio.to_thread(
        logfiles.tail_and_end, path, DEFAULT_TAIL if lines is None else lines
    )
    if not _flag(request, "follow"):
        return web.Response(text=text, content_type="text/plain", charset="utf-8")
    answer = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await answer.prepare(request)
    try:
        await answer.write(text.encode())
        await _follow(request, answer, logfiles.Follower(path, end), stream)
        await answer.write_eof()
    except ConnectionError:
        pass  # the caller has seen enough
    return answer


async def _follow(
    request: web.Request,
    answer: web.StreamResponse,
    follower: logfiles.Follower,
    stream: Stream,
) -> None:
    closing = service_of(request).closing
    while request.transport is not None:  # None: the caller has gone
        over = stream.finished.is_set() or closing.is_set()  # before the read: nothing is missed
        data = await asyncio.to_thread(follower.read)
        if data:
            await answer.write(data)
        elif over:
            return
        else:
            await happens_within(stream.finished, FOLLOW_EVERY_S)


def _named_stream(request: web.Request, body: dict[str, Any]) -> Stream:
    """By path, header or body; without any id, the only active one. Raises NotFound, Conflict."""
    stream_id = bodies.stream_id(
        request.match_info.get("request_id"), request.headers.get("X-Stream-Id"), body
    )
    streams = service_of(request).streams
    return streams.registry.only() if stream_id is None else streams.registry.get(stream_id)


async def _any_body(request: web.Request) -> dict[str, Any]:
    """A stop may carry anything: an object is looked at for an id, all else is ignored."""
    try:
        return bodies.decode_object(await request.read())
    except (ComfytrickleError, web.HTTPRequestEntityTooLarge):
        return {}


def _flag(request: web.Request, name: str) -> bool:
    value = request.query.get(name, "").lower()
    if value not in ("", "0", "1", "true", "false"):
        raise InvalidInput(name, f"must be 0 or 1, not {value[:40]!r}")
    return value in ("1", "true")


ROUTES: list[Route] = [
    ("POST", "/stream/start", start),
    ("POST", "/stream/stop", stop),
    ("POST", "/stream/params", params),
    ("GET", "/stream/status", status),
    ("GET", "/streams", list_streams),
    ("POST", "/stream/{request_id}/stop", stop),
    ("POST", "/stream/{request_id}/params", params),
    ("GET", "/stream/{request_id}/status", status),
    ("GET", "/stream/{request_id}/logs", logs),
]
