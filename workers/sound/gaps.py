"""Where a track that is passed on as it came needs silence. Pure.

Times are 90 kHz ticks. A duration in samples is seldom a whole number of them, so give it as a
Fraction (samples * CLOCK over rate): a grid of rounded ones would walk away.
"""

from __future__ import annotations

import math
from fractions import Fraction

from comfytrickle.mpegts.units import CLOCK

LONGEST_FILLED = 10 * CLOCK  # a player begins anew after a longer hole
_MOST = 64  # silent units for one call of until(); the next call goes on


class Continuity:
    """One track. Silence comes in units like the track's last one, on their grid.

    ``limit`` in ticks: a longer hole is left.
    """

    def __init__(self, limit: int = LONGEST_FILLED) -> None:
        self._limit = limit
        self._end: Fraction | None = None  # of all that was given out
        self._step = Fraction(0)  # of one silent unit

    def unit(
        self, pts: int, duration: Fraction | int, step: Fraction | int | None = None
    ) -> list[int]:
        """The pts of the silent units to put before a unit that is not late().

        ``step``: how long one silent unit would be after this one, where the unit is several.
        """
        end = self._end
        times: list[int] = []
        if end is not None and self._step > 0 and pts - end <= self._limit:
            # As many as leave less than half a unit, or overlap by no more than that.
            missing = math.ceil((pts - end) / self._step - Fraction(1, 2))
            times = self._grid(end, missing)
        self._end = Fraction(pts) + duration
        self._step = Fraction(duration if step is None else step)
        return times

    def late(self, pts: int) -> bool:
        """What begins at ``pts`` stands, by more than half a unit, in what was given out."""
        return self._end is not None and pts < self._end - self._step / 2

    def until(self, pts: int) -> list[int]:
        """The pts of the silent units that end before or at ``pts`` and were not given out.

        Not all at once where there are many: call it again.
        """
        if self._end is None or self._step <= 0:
            return []
        missing = math.floor((pts - self._end) / self._step)
        if pts - self._end > self._limit:
            self._end += missing * self._step
            return []
        times = self._grid(self._end, min(missing, _MOST))
        self._end += len(times) * self._step
        return times

    def _grid(self, begin: Fraction, count: int) -> list[int]:
        return [round(begin + number * self._step) for number in range(count)]
