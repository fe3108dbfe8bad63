"""At most so many a second, as evenly as they come. Pure: the clock is passed in."""

from __future__ import annotations

# What comes a little early is let through: else a limit of 30 would make 20 of 30 that come with
# some jitter. The mean never exceeds the limit.
_EARLY = 0.5  # of a period


class Pace:
    """``fps``: the limit, more than 0."""

    def __init__(self, fps: float) -> None:
        self._period = 1.0 / fps
        self._due: float | None = None

    def admits(self, now: float) -> bool:
        """Whether one may pass now (seconds, of one and the same clock)."""
        if self._due is None or now - self._due > self._period:
            self._due = now + self._period
            return True
        if now < self._due - _EARLY * self._period:
            return False
        self._due += self._period
        return True
