"""The channels beside the video: events, control and data of every stream that has them.

They live as long as the stream: before its first worker, between two, and a moment after the last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from comfytrickle.trickle.client_session import open_session
from control_plane.channels import event_shapes
from control_plane.channels.stream_control import StreamControl
from control_plane.channels.stream_events import StreamEvents
from control_plane.channels.stream_texts import StreamTexts
from control_plane.shapes.requests import ParamsRequest
from control_plane.streams.stream import Stream

log = logging.getLogger(__name__)

_CLOSE_S = 8.0  # for the goodbyes of all, at the end of the control plane


class SideChannels:
    """Of all streams. Owns a task for each stream that has such a channel."""

    def __init__(self, apply: Callable[[Stream, ParamsRequest], Awaitable[int]]) -> None:
        """``apply``: makes a change of a live stream (control_plane.streams.changes)."""
        self._apply = apply
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, stream: Stream) -> None:
        """From here on until the stream has finished."""
        config = stream.config
        if not (config.events_url or config.control_url or config.data_url):
            return
        task = asyncio.create_task(self._serve(stream))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """The streams are over: wait for their last events, for some seconds at most."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=_CLOSE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the channels beside a stream have failed", exc_info=task.exception())

    async def _serve(self, stream: Stream) -> None:
        config = stream.config
        async with open_session(verify_tls=config.verify_tls) as session:
            events: StreamEvents | None = None
            if config.events_url is not None:
                events = StreamEvents(session, config.events_url, stream.id, stream.facts)

            def report(message: str, **details: Any) -> None:
                if events is not None:
                    events.say(event_shapes.error(message, **details))

            tasks: list[asyncio.Task[None]] = []
            if config.control_url is not None:
                control = StreamControl(
                    session,
                    config.control_url,
                    lambda change: self._apply(stream, change),
                    report,
                )
                tasks.append(asyncio.create_task(control.serve()))
            last = []
            if config.data_url is not None:
                texts = StreamTexts(session, config.data_url)
                stream.on_texts = texts.take
                last.append(texts.serve(stream.finished))
            if events is not None:
                last.append(events.serve(stream.finished))
            try:
                await asyncio.gather(stream.finished.wait(), *last)
            finally:
                stream.on_texts = None
                for task in tasks:
                    task.cancel()
                if tasks:
                    await asyncio.wait(tasks)
