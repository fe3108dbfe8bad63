"""Frames for whoever watches: encoded here, written into the outlet's frame queue for the parent.

The stream is never held up. The threads that make frames look at one attribute when nobody watches;
else they leave a reference, and a thread of its own scales and encodes the newest. What it has no
time for is not shown.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass

import av
import numpy as np

from comfytrickle.errors import ComfytrickleError
from comfytrickle.frame_message import HEADER_BYTES, MARKED, Header, Kind, Side
from comfytrickle.messages import Watch
from comfytrickle.pace import Pace
from comfytrickle.shm.frames import FrameInfo, PixelFormat
from comfytrickle.shm.ring import Descriptors, Ring
from comfytrickle.shm.writer import RingWriter
from workers.media.frames import RGB, Frame
from workers.media.jpeg import JpegEncoder, fitted
from workers.priority import give_way

log = logging.getLogger(__name__)

# A frame's own way comes first: it is encoded and sent while its picture still waits here.
_HEAD_START_S = 0.005


@dataclass(frozen=True, slots=True)
class _Shown:
    """References to what is to be shown. ``left``: beside it, for Side.BOTH. ``not_before``:
    time.monotonic()."""

    frame: Frame
    left: Frame | None
    seq: int
    flags: int
    not_before: float


class Outlet:
    """Owns the ring's writing end and the thread; both come to be with the first viewer.

    ``watches_input`` and ``watches_output`` say whether ``offer_input`` and ``offer_output`` are to
    be called at all. Any thread may call any method.
    """

    def __init__(self, descriptors: Descriptors | None) -> None:
        """``descriptors``: the ring's, taken over. None: nobody can watch."""
        self.watches_input = False
        self.watches_output = False
        self._descriptors = descriptors
        self._ring: Ring | None = None
        self._changed = threading.Condition()
        self._watch = Watch()
        self._paces: dict[Side, Pace] = {}
        self._seqs = dict.fromkeys(Side, 0)
        self._waiting: dict[Side, _Shown] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, watch: Watch) -> None:
        """What is to be shown from now on. Without sides: nothing."""
        if self._descriptors is None:
            return
        sides = [Side[side.upper()] for side in watch.sides]
        with self._changed:
            self._watch = watch
            self._paces = {side: Pace(watch.fps) for side in sides}
            self._waiting.clear()
            self._changed.notify()
            if sides and not self._closed and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)
                self._thread.start()
        self.watches_input = Side.IN in sides
        self.watches_output = Side.OUT in sides or Side.BOTH in sides

    def offer_input(self, frame: Frame) -> None:
        """A frame as the source gave it. It may be looked at for a while; nobody writes to it."""
        with self._changed:
            self._offer(Side.IN, frame, None, 0)

    def offer_output(self, source: Frame, frame: Frame, *, marked: bool) -> None:
        """``frame``, what became of ``source``. ``marked``: it stands for one that failed."""
        flags = MARKED if marked else 0
        with self._changed:
            self._offer(Side.OUT, frame, None, flags)
            self._offer(Side.BOTH, frame, source, flags)

    def _offer(self, side: Side, frame: Frame, left: Frame | None, flags: int) -> None:
        if side not in self._paces:
            return
        seq = self._seqs[side]
        self._seqs[side] = seq + 1
        older = self._waiting.get(side)
        if older is None:
            not_before = time.monotonic() + _HEAD_START_S
            self._changed.notify()
        else:  # the thread knows, and comes to it when it is time
            not_before = older.not_before
        self._waiting[side] = _Shown(frame, left, seq, flags, not_before)

    def close(self) -> None:
        """Show nothing more, and release all. Idempotent."""
        self.watches_input = self.watches_output = False
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()
        ring, descriptors = self._ring, self._descriptors
        self._ring = self._descriptors = None
        if ring is not None:
            ring.close()
        else:
            for descriptor in descriptors or ():
                os.close(descriptor)

    # --- its thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        give_way()
        assert self._descriptors is not None
        ring = self._ring
        if ring is None:
            ring = self._ring = Ring(self._descriptors)
        writer = RingWriter(ring)
        encoder = JpegEncoder()
        while (job := self._next()) is not None:
            side, shown, watch = job
            try:
                _write(writer, encoder, ring.shape.capacity, side, shown, watch)
            except (av.FFmpegError, ComfytrickleError) as error:
                log.warning("a frame cannot be shown: %s", error)
            del job, shown  # the next frame may take its memory
        writer.close()

    def _next(self) -> tuple[Side, _Shown, Watch] | None:
        """The newest frame of a side whose turn it is; waited for. None: closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                waits = {
                    side: max(self._paces[side].wait_s(now), shown.not_before - now)
                    for side, shown in self._waiting.items()
                }
                side = min(waits, key=waits.__getitem__, default=None)
                if side is not None and waits[side] <= 0:
                    self._paces[side].passed(now)
                    return side, self._waiting.pop(side), self._watch
                self._changed.wait(None if side is None else waits[side])
            return None


def _write(
    writer: RingWriter, encoder: JpegEncoder, capacity: int, side: Side, shown: _Shown, watch: Watch
) -> None:
    frame = shown.frame
    rgb, size = frame.rgb, fitted((frame.width, frame.height), watch.width)
    if shown.left is not None:
        rgb, size = _beside(shown.left.rgb, rgb, size)
    data = encoder.encode(rgb, size, watch.quality, capacity - HEADER_BYTES)
    header = Header(
        Kind.JPEG, side, shown.seq, *size, pts=frame.pts, time=frame.sent, flags=shown.flags
    )
    writer.write(FrameInfo(frame.pts, *size, PixelFormat.MESSAGE), header.pack() + data)


def _beside(left: RGB, right: RGB, size: tuple[int, int]) -> tuple[RGB, tuple[int, int]]:
    """Both in one picture, twice as wide, and the size that it is to be shown in.

    A left one of another size is made to fit by repeating or leaving out pixels.
    """
    if left.shape != right.shape:
        rows = np.arange(right.shape[0]) * left.shape[0] // right.shape[0]
        columns = np.arange(right.shape[1]) * left.shape[1] // right.shape[1]
        left = left[rows[:, None], columns]
    return np.concatenate((left, right), axis=1), (2 * size[0], size[1])
