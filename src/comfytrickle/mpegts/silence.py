"""When silence may be taken for the end of a frame. Pure policy; no clock of its own.

A frame whose payload fills its last packet exactly carries no mark of its end (1.3 % of frames):
it would wait for the next one. A source that writes frame by frame is silent after each, so
silence ends the frame -- unless the network stalls in the middle of frames, which looks the same.
So silence is trusted only while the source has shown both: that its reads end where its frames
end, and that nothing pauses inside a frame.
"""

from __future__ import annotations

SILENCE_S = 0.004  # this long without a byte
STALL_S = 0.002  # a pause inside a frame of half that: the next may well be longer
WINDOW = 50  # units looked back on
NEEDED = 45  # of them: "nearly all"; a busy reader now and then finds two frames in one read
STALL_MEMORY = 300  # units without a stall before silence is trusted again (10 s at 30 fps)

_EARLY_S = 0.0005  # timers may fire a little early


class SilencePolicy:
    """What one elementary stream has shown about how it is written."""

    def __init__(self) -> None:
        self._exact = 0  # one bit per unit, the newest lowest: ended where its read ended
        self._smooth_for = STALL_MEMORY  # units since the last stall

    @property
    def trusted(self) -> bool:
        """Whether a silence of SILENCE_S ends a unit now."""
        return self._smooth_for >= STALL_MEMORY and self._exact.bit_count() >= NEEDED

    def unit_ended(self, exact: bool) -> None:
        """A unit is known to have ended. ``exact``: its last packet was the last of its stream in
        its read, and that read ended on a packet boundary."""
        self._exact = (self._exact << 1 | exact) & ((1 << WINDOW) - 1)
        if self._smooth_for < STALL_MEMORY:
            self._smooth_for += 1

    def paused(self, seconds: float) -> None:
        """Two reads inside one unit were this far apart."""
        if seconds > STALL_S:
            self._smooth_for = 0

    @staticmethod
    def long_enough(seconds: float) -> bool:
        """Whether nothing came for SILENCE_S."""
        return seconds >= SILENCE_S - _EARLY_S
