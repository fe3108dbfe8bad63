"""Where sound waits for its video: it goes out when the video of its time has come out.

So it is delayed by what the video really takes, whatever that is, and stays in sync by its
timestamps. It is never dropped because video is slow; the bounds below are for a video that has
ceased, or that never came.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from comfytrickle.mpegts.units import CLOCK, AccessUnit
from workers.sound.sound import Sound

# Sound that is older than this is not waiting for the engine: the video has a pause. It is far
# above the latency of a workflow that is called live, and small in bytes (80 kB at 128 kbit/s).
_MAX_HELD_TICKS = 5 * CLOCK
# Before the first frame nothing is taken; a workflow may load for minutes.
_MAX_WAITING_TICKS = 30 * CLOCK


@dataclass(frozen=True, slots=True)
class Held:
    """A stretch of one track: a unit as it came, or samples that are still to be encoded.

    ``track``: the source's PID, 0 when the source has no sound. ``segment`` and ``source_pts``:
    from where in the source it is, about (see comfytrickle.progress).
    """

    track: int
    pts: int  # on the output's timeline, 90 kHz
    what: AccessUnit | Sound
    segment: int = -1
    source_pts: int = -1


class SoundRoute:
    """Given by the decode thread and the engine thread, taken by the encode thread.

    ``alone``: the source has no video, so there is nothing to wait for.
    """

    def __init__(self) -> None:
        self.alone = False
        self.on_alone: Callable[[], None] = lambda: None  # something came while alone
        self.stale = 0  # units that waited for a first frame for too long
        self._held: deque[Held] = deque()
        self._lock = threading.Lock()

    def put(self, one: Held) -> None:
        with self._lock:
            held = self._held
            at = len(held)
            # What a workflow makes comes later than what passes it by.
            while at and held[at - 1].pts > one.pts:
                at -= 1
            held.insert(at, one)
            while held[-1].pts - held[0].pts > _MAX_WAITING_TICKS:
                held.popleft()
                self.stale += 1
        if self.alone:
            self.on_alone()

    def until(self, video_pts: int) -> list[Held]:
        """What belongs before or at ``video_pts``, and what has waited for too long."""
        with self._lock:
            return self._take(video_pts)

    def overdue(self) -> list[Held]:
        """What has waited for too long, while no video comes out."""
        with self._lock:
            return self._take(None)

    def _take(self, video_pts: int | None) -> list[Held]:
        held = self._held
        if not held:
            return []
        limit = held[-1].pts - _MAX_HELD_TICKS
        if video_pts is not None:
            limit = max(limit, video_pts)
        out: list[Held] = []
        while held and held[0].pts <= limit:
            out.append(held.popleft())
        return out

    def rest(self) -> list[Held]:
        """All of it: at the end of the stream, and while sound is alone."""
        with self._lock:
            out = list(self._held)
            self._held.clear()
        return out
