"""Which worker serves a stream, one after another."""

from __future__ import annotations

import asyncio

from control_plane.processes.worker import Worker
from control_plane.streams.stream import Stream
from control_plane.waiting import happens_within

_LOOK_EVERY_S = 0.02  # for the supervisor to notice an end that was seen here


async def serving_worker(stream: Stream) -> Worker | None:
    """The living worker that is ready; waited for. None: the stream is over."""
    while not stream.finished.is_set():
        worker = stream.worker
        if not stream.serving.is_set():
            await _either(stream.serving, stream.finished)
        elif worker is None or worker.exit_cause is not None:
            await happens_within(stream.finished, _LOOK_EVERY_S)
        else:
            return worker
    return None


async def _either(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
