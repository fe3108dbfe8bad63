"""Who watches a stream: several viewers share one outlet, across all workers of the stream.

    worker --outlet (shared memory)--> Preview --newest picture--> Viewer, Viewer, ...

A Preview lives from its first viewer until a moment after its last. While it does, the worker is
told what to show (:class:`comfytrickle.messages.Watch`): the union of what the viewers want. Bytes
are passed on; nothing is decoded here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from comfytrickle.errors import InvalidInput, ProtocolError
from comfytrickle.frame_message import HEADER_BYTES, Side, unpack
from comfytrickle.messages import Watch
from comfytrickle.pace import Pace
from comfytrickle.shared import attach
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import RingClosed
from control_plane.processes.worker import Worker
from control_plane.streams.serving import serving_worker
from control_plane.streams.stream import Stream

log = logging.getLogger(__name__)

LINGER_S = 1.0  # a page that is loaded anew finds the pictures still coming
NOBODY = Watch()


@dataclass(frozen=True, slots=True)
class Wish:
    """What one viewer wants to see; Watch has the fields."""

    side: Side = Side.OUT
    fps: float = NOBODY.fps
    width: int | None = None
    quality: int = NOBODY.quality


def watch_for(wishes: Collection[Wish]) -> Watch:
    """What serves all of them. Pure."""
    if not wishes:
        return NOBODY
    widths = [wish.width for wish in wishes]
    return Watch(
        sides=sorted({wish.side.name.lower() for wish in wishes}),
        fps=max(wish.fps for wish in wishes),
        width=None if None in widths else max(width for width in widths if width is not None),
        quality=max(wish.quality for wish in wishes),
    )


class Viewer:
    """Gets the newest picture when it asks for one. Made by Preview.join; one reader."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self._pace = Pace(wish.fps)
        self._picture: bytes | None = None
        self._over = False
        self._changed = asyncio.Event()

    def offer(self, picture: bytes) -> None:
        """A picture came. It takes the place of one that was not asked for yet."""
        self._picture = picture
        self._changed.set()

    def end(self) -> None:
        self._over = True
        self._changed.set()

    @property
    def over(self) -> bool:
        """No picture comes any more."""
        return self._over

    async def next(self, timeout: float | None = None) -> bytes | None:
        """The newest frame message that was not given yet, when it is time for one. None: it is
        over, or none came within ``timeout`` seconds."""
        if self._picture is None and not self._over:
            self._changed.clear()
            waiting = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({waiting}, timeout=timeout)
            finally:
                waiting.cancel()
        if self._picture is None:
            return None
        if (early_s := self._pace.wait_s(time.monotonic())) and not self._over:
            await asyncio.sleep(early_s)
        self._pace.passed(time.monotonic())
        picture, self._picture = self._picture, None
        return picture


class Preview:
    """One stream's pictures. Owns a task and, while a worker serves, the outlet's reading end.

    ``on_empty``: nobody has watched for a while, or the stream is over.
    """

    def __init__(self, stream: Stream, on_empty: Callable[[Preview], None]) -> None:
        self._stream = stream
        self._on_empty = on_empty
        self._viewers: set[Viewer] = set()
        self._latest: dict[Side, bytes] = {}
        self._following: Worker | None = None
        self._watch = NOBODY
        # Each worker counts from 0; viewers see one number that grows.
        self._seq_base = dict.fromkeys(Side, 0)
        self._next_seq = dict.fromkeys(Side, 0)
        self._leaving: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._serve())
        self._task.add_done_callback(self._ended)

    def join(self, wish: Wish) -> Viewer:
        viewer = Viewer(wish)
        self._viewers.add(viewer)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        before = self._watch
        self._tell()
        latest = self._latest.get(wish.side)
        if latest is not None and self._watch == before:  # as it wants it
            viewer.offer(latest)
        if self._task.done():
            viewer.end()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        if self._viewers:
            self._tell()
        elif self._leaving is None:
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(LINGER_S, self._leave)

    def _leave(self) -> None:
        self._on_empty(self)  # before the end begins: who comes now finds another one
        self._task.cancel()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    def _tell(self) -> None:
        """Have the worker show what all viewers want, if that has changed."""
        watch = watch_for([viewer.wish for viewer in self._viewers])
        if watch != self._watch:
            self._watch = watch
            if self._following is not None:
                self._following.watch(watch)

    async def _serve(self) -> None:
        while (worker := await serving_worker(self._stream)) is not None:
            await self._follow(worker)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("stream %s: its preview has failed", self._stream.id, exc_info=error)
        if self._leaving is not None:
            self._leaving.cancel()
        for viewer in self._viewers:
            viewer.end()
        self._on_empty(self)

    async def _follow(self, worker: Worker) -> None:
        """Until this worker ends."""
        assert worker.shared is not None
        ring = attach(worker.shared.outlet)
        reader = RingReader(ring)
        exited = asyncio.ensure_future(worker.wait_exited())
        exited.add_done_callback(lambda _: reader.stop())
        begun = time.monotonic_ns()
        self._seq_base = dict(self._next_seq)
        self._following = worker
        worker.watch(self._watch)
        try:
            while True:
                try:
                    frame = await reader.receive()
                    if frame.header.time_ns >= begun:  # else it is of an earlier viewer's time
                        self._show(frame.data)
                except (ProtocolError, InvalidInput) as error:  # foreign code may write there
                    log.error("stream %s: outlet: %s", self._stream.id, error)
                await asyncio.sleep(0)  # however fast it writes, others have their turn
        except RingClosed:  # it has ended, or is about to
            await exited
        finally:
            self._following = None
            worker.watch(NOBODY)
            exited.cancel()
            reader.close()
            ring.close()

    def _show(self, message: bytes) -> None:
        header = unpack(message)
        try:
            side = Side(header.side)
        except ValueError:
            raise InvalidInput("side", f"is {header.side}") from None
        seq = (self._seq_base[side] + header.seq) & (1 << 64) - 1
        self._next_seq[side] = seq + 1
        message = replace(header, seq=seq).pack() + message[HEADER_BYTES:]
        self._latest[side] = message
        for viewer in self._viewers:
            if viewer.wish.side is side:
                viewer.offer(message)


class Previews:
    """Of all streams. Owns each Preview from its first viewer to its end."""

    def __init__(self) -> None:
        self._active: dict[Stream, Preview] = {}

    def join(self, stream: Stream, wish: Wish) -> tuple[Preview, Viewer]:
        """The viewer has to leave that preview."""
        preview = self._active.get(stream)
        if preview is None:
            preview = self._active[stream] = Preview(stream, lambda p: self._drop(stream, p))
        return preview, preview.join(wish)

    def _drop(self, stream: Stream, preview: Preview) -> None:
        if self._active.get(stream) is preview:
            del self._active[stream]

    async def close(self) -> None:
        for preview in list(self._active.values()):
            await preview.close()
