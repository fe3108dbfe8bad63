"""One start of a stream, whichever path it came by: read, begun, counted, answered."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from comfytrickle.errors import (
    Conflict,
    Full,
    InvalidInput,
    InvalidWorkflow,
    Quarantined,
    Unavailable,
    WorkerError,
)
from comfytrickle.workflow.parse import InvalidShape
from control_plane.api.judging import all_errors
from control_plane.api.web_keys import service_of
from control_plane.service import Service
from control_plane.shapes import bodies, requests
from control_plane.streams.stream import Stream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Started:
    """A start that succeeded."""

    stream: Stream
    is_new: bool
    asked: requests.StartRequest

    def answer(self) -> dict[str, Any]:
        stream, asked = self.stream, self.asked
        return {
            "status": "success",
            "message": "stream started" if self.is_new else "stream runs already",
            "request_id": stream.id,
            "config": {
                **{key: getattr(stream.config, key) for key in requests.URL_KEYS},
                "width": stream.config.width,
                "height": stream.config.height,
            },
            "state": stream.state.value,
            "current_state": stream.state.value,
            "engine": stream.config.engine.name,
            "device": stream.device.id if stream.device is not None else None,
            "pid": stream.worker.pid if stream.worker is not None else None,
            "converted": asked.converted,
            "ignored": asked.ignored,
        }


async def start_stream(request: web.Request, *, any_free_id: bool = False) -> Started:
    """As the request asks. ``any_free_id``: of the ids it gives, the first that no other stream
    has. Raises InvalidInput, InvalidWorkflow, Conflict, Unavailable, WorkerError."""
    service = service_of(request)
    with _refusals_counted(service):
        body = bodies.decode_object(await request.read())
        header = request.headers.get("X-Stream-Id")
        try:
            asked = requests.read_start(body, header)
        except InvalidShape as error:
            raise await all_errors(service, error, _engine_of(body)) from error
        engine = service.engines.get(asked.engine)
        verify = service.settings.verify_tls
        config = asked.config(asked.stream_id or f"stream-{secrets.token_hex(6)}", engine, verify)
        if any_free_id:
            for stream_id in bodies.stream_ids(header=header, body=body):
                active = service.streams.registry.active_one(stream_id)
                if active is None or active.requested == asked.config(stream_id, engine, verify):
                    config = asked.config(stream_id, engine, verify)
                    break
        if asked.ignored:
            log.info("stream %s: ignored in its start: %s", config.stream_id,
                     ", ".join(asked.ignored))  # fmt: skip
        stream, is_new = await service.streams.start(config, asked.digest)
    if is_new:
        service.streams.tally.accepted += 1
    else:
        service.streams.tally.repeated += 1
    return Started(stream, is_new, asked)


def _engine_of(body: dict[str, Any]) -> str | None:
    return requests.read_engine({"params": bodies.nested_object(body, "params")})


@contextlib.contextmanager
def _refusals_counted(service: Service) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        service.streams.tally.refused[_reason(error, service)] += 1
        raise


def _reason(error: Exception, service: Service) -> str:
    """One word of a few: it becomes a label."""
    if isinstance(error, Unavailable) and not isinstance(error, Full) and service.streams.draining:
        return "draining"
    for kind, word in _REASONS:
        if isinstance(error, kind):
            return word
    return "internal"


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (InvalidWorkflow, "invalid_workflow"),
    (InvalidInput, "invalid_request"),
    (web.HTTPRequestEntityTooLarge, "invalid_request"),
    (Quarantined, "quarantined"),
    (Conflict, "conflict"),
    (Full, "full"),
    (Unavailable, "unavailable"),
    (WorkerError, "worker"),
)
REASONS = (*dict.fromkeys(word for _, word in _REASONS), "draining", "internal")
