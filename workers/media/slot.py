"""The hand-over of frames from the decode thread to the engine thread."""

from __future__ import annotations

import threading
import time

from workers.media.frames import Frame
from workers.media.pacing import DROP_LATEST, Backlog

_LATE_S = 0.002  # a frame that was waited for may be so late
# A consumer that keeps up is waited for so long, from when it took its last frame (or the first one
# was there for it).
_ROOM_S = 0.25


class Slot:
    """One producer, one consumer; bounded; what is dropped is counted by cause.

    ``drop="latest"``: the policy of :mod:`workers.media.pacing` decides what the consumer gets; put
    blocks for a moment only when the slot is full and the consumer about to clear it: after a
    restart more comes at once than it holds. ``drop="never"``: put blocks while it is full.
    The time between two calls of take is what the consumer needs for a frame.
    """

    def __init__(self, drop: str = DROP_LATEST, max_framerate: float | None = None) -> None:
        self._backlog = Backlog(drop, max_framerate)
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)
        self._closed = False
        self._poked = False
        self._given_at: float | None = None
        self._active_at: float | None = None

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, frame: Frame, timeout: float | None = None) -> bool:
        """Hand ``frame`` over. False: it was not taken, because the slot is closed, or stayed full
        for ``timeout`` seconds (None waits for ever)."""
        with self._lock:
            if self._backlog.full:
                patience = timeout if self._backlog.never else self._patience_s()
                self._emptied.wait_for(lambda: self._closed or not self._backlog.full, patience)
                if self._backlog.full and self._backlog.never:
                    return False
            if self._closed:
                return False
            now = time.monotonic()
            if self._active_at is None:
                self._active_at = now
            if self._backlog.put(frame, now):
                self._filled.notify()
            return True

    def _patience_s(self) -> float:
        if self._active_at is None or not self._backlog.will_clear:
            return 0.0
        return max(0.0, self._active_at + _ROOM_S - time.monotonic())

    def take(self) -> Frame | None:
        """Wait for the next frame. None: poked, or closed and empty."""
        with self._lock:
            now = time.monotonic()
            if self._given_at is not None:
                self._backlog.pacing.served(now - self._given_at)
                self._given_at = None
            may_wait = True
            while not self._poked:
                choice = self._backlog.take(now, may_wait=may_wait and not self._closed)
                if isinstance(choice, Frame):
                    self._given_at = self._active_at = time.monotonic()
                    self._emptied.notify()
                    return choice
                if choice is None and self._closed:
                    return None
                if choice is None:
                    self._filled.wait()
                else:
                    self._filled.wait(choice + _LATE_S)
                    may_wait = False  # once is enough: it came, or it will not
                now = time.monotonic()
            self._poked = False
            return None

    def poke(self) -> None:
        """Make take return None once, now or at its next call."""
        with self._lock:
            self._poked = True
            self._filled.notify()

    def close(self) -> None:
        """No more puts; takes give what is left, then None. Wakes both sides. Idempotent."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
            self._emptied.notify_all()

    def set_max_framerate(self, limit: float | None) -> None:
        """From the next frame on; None or 0 lifts it."""
        with self._lock:
            self._backlog.cap.limit = limit

    def dropped(self) -> dict[str, int]:
        """Totals by cause: "latest", "framerate"."""
        with self._lock:
            return dict(self._backlog.dropped)

    @property
    def waiting(self) -> int:
        """Frames in store."""
        with self._lock:
            return self._backlog.waiting
