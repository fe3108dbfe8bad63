"""Frames that are sent to a stream without a source channel, on their way to its worker.

One sender at a time; the next one goes on where it left. Bytes are passed on; nothing is decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from comfytrickle.errors import Conflict
from comfytrickle.frame_message import Header
from comfytrickle.messages import FramesRefused
from comfytrickle.shared import attach
from comfytrickle.shm.frames import FrameInfo, PixelFormat
from comfytrickle.shm.ring import RingClosed
from comfytrickle.shm.writer import RingWriter
from control_plane.processes.worker import Worker
from control_plane.streams.serving import serving_worker
from control_plane.streams.stream import Stream

log = logging.getLogger(__name__)

DROP_NEVER = "never"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a frame. ``reason`` None: it is on its way, with ``queue`` in all."""

    reason: str | None
    queue: int


class Inlet:
    """One stream's. Owns a task and, while a worker serves, the writing end of its inlet; that is
    never given up before the worker ends, for to the worker it would be the end of its source."""

    def __init__(self, stream: Stream, on_over: Callable[[], None]) -> None:
        self._stream = stream
        self._on_over = on_over
        self._taken = False
        self._ended = False
        self._writer: RingWriter | None = None
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()  # there is a writer, or it is over
        self._task = asyncio.create_task(self._serve())
        self._task.add_done_callback(self._over)

    @contextlib.contextmanager
    def sending(self, on_refused: Callable[[FramesRefused], None]) -> Iterator[None]:
        """The sender's place. Raises Conflict when it is taken, or nothing more is taken."""
        if self._ended:
            raise Conflict(f"stream {self._stream.id!r} is at its end")
        if self._taken:
            raise Conflict(f"stream {self._stream.id!r} has a sender already")
        self._taken = True
        self._stream.on_refused = on_refused
        try:
            yield
        finally:
            self._taken = False
            self._stream.on_refused = None

    async def put(self, header: Header, message: bytes) -> Verdict:
        """Hand a checked frame message over; waits for room with ``drop`` "never" only."""
        patient = self._stream.config.drop == DROP_NEVER
        while self._writer is None:
            if self._ended or self._task.done():
                return Verdict("ending", 0)
            if not patient:
                return Verdict("restarting" if self._stream.restarts else "loading", 0)
            self._changed.clear()
            await self._changed.wait()
        writer = self._writer
        if not patient and not writer.has_room:
            return Verdict("busy", writer.waiting)
        info = FrameInfo(header.pts, header.width, header.height, PixelFormat.MESSAGE)
        try:
            async with self._writing:
                await writer.send(info, message)
        except RingClosed:
            return Verdict("ending" if self._stream.ending else "restarting", 0)
        return Verdict(None, writer.waiting)

    def end(self) -> None:
        """No more frames come: what is there is worked off, then the stream ends."""
        self._ended = True
        if self._writer is not None:
            self._writer.stop()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _serve(self) -> None:
        while (worker := await serving_worker(self._stream)) is not None:
            await self._follow(worker)

    def _over(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("stream %s: its inlet has failed", self._stream.id, exc_info=error)
        self._changed.set()
        self._on_over()

    async def _follow(self, worker: Worker) -> None:
        assert worker.shared is not None
        ring = attach(worker.shared.inlet)
        writer = RingWriter(ring)
        if self._ended:
            writer.stop()
        self._writer = writer
        self._changed.set()
        try:
            await worker.wait_exited()
        finally:
            self._writer = None
            writer.stop()  # who waits for room there has to be through with the ring
            async with self._writing:
                writer.close()
                ring.close()


class Inlets:
    """Of all streams that are sent frames. Owns each Inlet from its first sender to its end."""

    def __init__(self) -> None:
        self._active: dict[Stream, Inlet] = {}

    def of(self, stream: Stream) -> Inlet:
        """Raises Conflict for a stream that takes no frames."""
        if stream.config.subscribe_url is not None:
            raise Conflict(f"stream {stream.id!r} has a source channel: it takes no frames")
        if stream.ending:
            raise Conflict(f"stream {stream.id!r} is {stream.state.value}: it takes no frames")
        inlet = self._active.get(stream)
        if inlet is None:
            inlet = self._active[stream] = Inlet(stream, lambda: self._drop(stream))
        return inlet

    def _drop(self, stream: Stream) -> None:
        self._active.pop(stream, None)

    async def close(self) -> None:
        for inlet in list(self._active.values()):
            await inlet.close()
