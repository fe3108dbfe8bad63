"""Changes of a live stream: checked first, applied between two frames, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from comfytrickle.errors import Conflict, InvalidInput, InvalidWorkflow, Unavailable
from comfytrickle.messages import ParamsRejected, UpdateParams
from comfytrickle.workflow import parse_prompt
from control_plane.engines.engines import workflow_key
from control_plane.engines.inspector import Inspector
from control_plane.processes.worker import Worker
from control_plane.shapes.requests import ParamsRequest
from control_plane.streams.quarantine import Quarantine
from control_plane.streams.stream import Stream

READY_WAIT_S = 30.0  # how long params for a stream that still loads may wait


class Changes:
    """Holds nothing of its own. ``inspector_of``: by the name of an engine."""

    def __init__(self, inspector_of: Callable[[str], Inspector], quarantine: Quarantine) -> None:
        self._inspector_of = inspector_of
        self._quarantine = quarantine

    async def apply(self, stream: Stream, change: ParamsRequest) -> int:
        """Apply ``change`` between two frames. Returns the revision that runs then.

        Raises InvalidInput, InvalidWorkflow, Quarantined (the stream goes on as it was), Conflict
        when it has ended, Unavailable when it is not ready yet, WorkerError.
        """
        _refuse_fixed(stream, change)
        if not change.changes_frames:
            return stream.config.revision
        if change.workflow is not None:
            engine = stream.config.engine
            digest = parse_prompt(change.workflow).digest
            self._quarantine.refuse(workflow_key(digest, engine))
            await self._inspector_of(engine.name).require(change.workflow)
        async with stream.update_lock:  # revisions take effect in their order
            worker = await _ready_worker(stream)
            stream.last_attempt += 1
            params = UpdateParams(
                revision=stream.last_attempt,
                workflow=change.workflow,
                width=change.width,
                height=change.height,
                max_framerate=change.max_framerate,
                on_error=change.on_error,
                on_error_after=change.on_error_after,
                while_loading=change.while_loading,
            )
            answer = await worker.update(params)
            if isinstance(answer, ParamsRejected):
                raise InvalidWorkflow(answer.reason, answer.node_errors, "params")
            stream.take_params(params)
            return params.revision


def _refuse_fixed(stream: Stream, change: ParamsRequest) -> None:
    fixed = {
        "drop": (change.drop, stream.config.drop),
        "encode": (change.encode, stream.config.encode),
        "engine": (change.engine, stream.config.engine.name),
    }
    for name, (wanted, present) in fixed.items():
        if wanted is not None and wanted != present:
            raise InvalidInput(f"params.{name}", "is fixed when a stream starts")


async def _ready_worker(stream: Stream) -> Worker:
    """Its worker, waited for while it loads or is being replaced."""
    waits = [asyncio.ensure_future(e.wait()) for e in (stream.serving, stream.finished)]
    try:
        if not stream.ending:
            await asyncio.wait(waits, timeout=READY_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if stream.ending:
        raise Conflict(f"stream {stream.id!r} is {stream.state.value}: it takes no params")
    if stream.worker is None or not stream.serving.is_set():
        raise Unavailable(f"stream {stream.id!r} is still loading")
    return stream.worker
