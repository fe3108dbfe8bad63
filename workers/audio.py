"""Audio goes round the engine: held until the video of its time has come out, then passed on.

So it is delayed by what the video really takes, whatever that is, and stays in sync by its
timestamps. It is never dropped because video is slow; the bound below is for a video that has
ceased.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from comfytrickle.mpegts.units import CLOCK, AccessUnit, ElementaryStream

# Audio that is older than this is not waiting for the engine: the video has a pause. It is far
# above the latency of a workflow that is called live, and small in bytes (80 kB at 128 kbit/s).
_MAX_HELD_TICKS = 5 * CLOCK


@dataclass(frozen=True, slots=True)
class HeldAudio:
    unit: AccessUnit
    pts: int  # on the output's timeline, 90 kHz


class AudioRoute:
    """Given by the decode thread, taken by the encode thread.

    ``streams``: the audio streams that the source's tables name now, so that they can be announced
    before their first unit comes.
    """

    def __init__(self) -> None:
        self.streams: list[ElementaryStream] = []
        self._held: deque[HeldAudio] = deque()
        self._lock = threading.Lock()

    def put(self, unit: AccessUnit, pts: int) -> None:
        with self._lock:
            self._held.append(HeldAudio(unit, pts))

    def until(self, video_pts: int) -> list[HeldAudio]:
        """What belongs before or at ``video_pts``, and what has waited for too long."""
        with self._lock:
            return self._take(video_pts)

    def overdue(self) -> list[HeldAudio]:
        """What has waited for too long, while no video comes out."""
        with self._lock:
            return self._take(None)

    def _take(self, video_pts: int | None) -> list[HeldAudio]:
        held = self._held
        if not held:
            return []
        limit = held[-1].pts - _MAX_HELD_TICKS
        if video_pts is not None:
            limit = max(limit, video_pts)
        out: list[HeldAudio] = []
        while held and held[0].pts <= limit:
            out.append(held.popleft())
        return out

    def rest(self) -> list[HeldAudio]:
        """All of it, at the end of the stream."""
        with self._lock:
            out = list(self._held)
            self._held.clear()
        return out
