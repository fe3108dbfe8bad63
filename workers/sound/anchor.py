"""Where on the timeline the samples of an encoder belong, whose count knows no holes. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

from comfytrickle.mpegts.units import CLOCK

JITTER = CLOCK // 200  # 5 ms: less between two stretches of sound is how they were stamped
LONGEST_FILLED = 10 * CLOCK  # a longer hole is not filled with silence


@dataclass(frozen=True, slots=True)
class Placing:
    """What to do with a sound, in samples of its own rate.

    ``fresh``: finish what was before it, the count begins at 0 again. ``drifted``: the pts from
    here on are the sound's own, not the count's.
    """

    silence: int = 0  # to put before it
    cut: int = 0  # of its beginning, to be left out
    fresh: bool = False
    drifted: bool = False


class Anchor:
    """Counts samples at ``rate`` and knows the pts of each.

    A hole up to LONGEST_FILLED is to be filled, a longer one begins anew; an overlap is to be cut.
    A difference below JITTER is no difference: the count alone gives the pts. Where such
    differences have added up to JITTER, a clock drifts: the pts from there on are the sound's own.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._count = Fraction(0)  # where the next sample goes
        self._end = Fraction(0)  # the end of the last sound by its own pts, in ticks
        self._anchors: deque[tuple[Fraction, int]] = deque()  # (count, pts), both growing

    def plan(self, pts: int, samples: int, rate: int) -> Placing:
        """Where ``samples`` at ``rate``, whose first is at ``pts``, go. Changes nothing."""
        if not self._anchors:
            return Placing(fresh=True)
        count, anchor = self._anchors[-1]
        difference = pts - anchor - (self._count - count) * CLOCK / self._rate
        if abs(difference) < JITTER:
            return Placing()
        if difference > LONGEST_FILLED:
            return Placing(fresh=True)
        if abs(pts - self._end) < JITTER:
            return Placing(drifted=True)
        missing = round(difference * rate / CLOCK)
        return Placing(silence=missing) if missing > 0 else Placing(cut=min(samples, -missing))

    def take(self, placing: Placing, pts: int, samples: int, rate: int) -> None:
        """Count them, as planned."""
        if placing.fresh:
            self.restart()
        if placing.fresh or placing.drifted:
            self._anchors.append((self._count, pts))
        if placing.cut < samples:
            self._end = pts + Fraction(samples * CLOCK, rate)
        self._count += Fraction((placing.silence + samples - placing.cut) * self._rate, rate)

    @property
    def begun(self) -> bool:
        """The count has a place on the timeline."""
        return bool(self._anchors)

    @property
    def end_pts(self) -> int:
        """Where what was taken ends; to be asked only once it has begun."""
        count, pts = self._anchors[-1]
        return pts + round((self._count - count) * CLOCK / self._rate)

    @property
    def count(self) -> int:
        """How many samples were taken, to the nearest."""
        return round(self._count)

    def pts(self, index: int) -> int:
        """Of the sample at ``index``; negative ones are before the first. To be asked in order."""
        anchors = self._anchors
        while len(anchors) > 1 and anchors[1][0] <= index:
            anchors.popleft()
        count, pts = anchors[0]
        return pts + round((index - count) * CLOCK / self._rate)

    def begin(self, pts: int) -> None:
        """The count begins at 0, with ``pts``."""
        self.restart()
        self._anchors.append((self._count, pts))
        self._end = Fraction(pts)

    def restart(self) -> None:
        """The count begins at 0, with the next sound."""
        self._anchors.clear()
        self._count = Fraction(0)
