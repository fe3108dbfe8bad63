"""At most so many a second, as evenly as they come. Pure: the clock is passed in."""

from __future__ import annotations

# What comes a little early may pass: else a limit of 30 would make 20 of 30 that come with some
# jitter. The mean never exceeds the limit.
_EARLY = 0.5  # of a period


class Pace:
    """``fps``: the limit, more than 0. Times are seconds of one and the same clock."""

    def __init__(self, fps: float) -> None:
        self._period = 1.0 / fps
        self._due: float | None = None

    def wait_s(self, now: float) -> float:
        """Seconds until one may pass; 0: now."""
        if self._due is None:
            return 0.0
        return max(0.0, self._due - _EARLY * self._period - now)

    def passed(self, now: float) -> None:
        """One did."""
        if self._due is None or now - self._due > self._period:
            self._due = now
        self._due += self._period
