"""When keyframes are due and how fast frames come, from timestamps alone. Pure."""

from __future__ import annotations

from statistics import median

from comfytrickle.mpegts.units import CLOCK

_FPS_RANGE = (1.0, 240.0)
_TOLERANCE = 1.25  # a rate off by more than this factor is another rate
_MOST_INTERVALS = 240


class Cadence:
    """Keyframes every ``gop_s`` seconds of presentation time, and the frame rate between them.

    ``fps`` is what the encoder is to be opened with. It changes only when a keyframe is due and
    the frames since the last one came at a clearly different rate; the median is taken, so that a
    pause of the source is not mistaken for a slow source.
    """

    def __init__(self, gop_s: float, fps: float) -> None:
        self.fps = min(max(fps, _FPS_RANGE[0]), _FPS_RANGE[1])
        self._gop = max(1, round(gop_s * CLOCK))
        self._key: int | None = None
        self._last: int | None = None
        self._intervals: list[int] = []

    def step(self, pts: int) -> bool:
        """Take note of the next frame; True if it has to be a keyframe. ``pts`` grows."""
        if self._key is None or self._last is None:
            self._key = self._last = pts
            return True
        interval, self._last = pts - self._last, pts
        if len(self._intervals) < _MOST_INTERVALS:
            self._intervals.append(interval)
        # The frame nearest to the due time: rounded timestamps must not cost a whole interval.
        if pts + min(interval, self._gop) // 2 < self._key + self._gop:
            return False
        self._key = pts
        self._measure()
        return True

    def restart(self) -> None:
        """The next frame is a keyframe for other reasons; the rate stays what it was."""
        self._key = None
        self._intervals.clear()

    def _measure(self) -> None:
        fps = CLOCK / max(1.0, median(self._intervals))
        fps = min(max(fps, _FPS_RANGE[0]), _FPS_RANGE[1])
        if not 1 / _TOLERANCE <= fps / self.fps <= _TOLERANCE:
            self.fps = fps
        self._intervals.clear()
