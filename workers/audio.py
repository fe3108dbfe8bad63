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

# Audio ahead of the last video that came out by more than this is not waiting for the engine: the
# video has a pause. 10 s is far above any latency and small in bytes (160 kB at 128 kbit/s).
_MAX_HELD_TICKS = 10 * CLOCK


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
        out: list[HeldAudio] = []
        with self._lock:
            held = self._held
            newest = held[-1].pts if held else video_pts
            limit = max(video_pts, newest - _MAX_HELD_TICKS)
            while held and held[0].pts <= limit:
                out.append(held.popleft())
        return out

    def rest(self) -> list[HeldAudio]:
        """All of it, at the end of the stream."""
        with self._lock:
            out = list(self._held)
            self._held.clear()
        return out
