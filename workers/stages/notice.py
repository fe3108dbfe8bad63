"""What is shown while a new workflow loads, if it is asked for: the source's picture, dark, and a
wheel that turns."""

from __future__ import annotations

import math

import numpy as np

from workers.media.frames import RGB
from workers.stages.mark import fitted

_SPOTS = 8
_TURN_S = 1.2


def loading_notice(rgb: RGB, size: tuple[int, int], at_s: float) -> RGB:
    """A copy of ``rgb``, uint8 [H, W, 3], of ``size`` (width, height). ``at_s`` turns the wheel, on
    any clock."""
    out = fitted(rgb, size)
    np.right_shift(out, 2, out=out)
    height, width = out.shape[:2]
    short = min(height, width)
    radius, side = short / 8, max(2, short // 28)
    head = at_s / _TURN_S * _SPOTS % _SPOTS
    for spot in range(_SPOTS):
        angle = 2 * math.pi * spot / _SPOTS
        top = round(height / 2 - radius * math.cos(angle) - side / 2)
        left = round(width / 2 + radius * math.sin(angle) - side / 2)
        age = (head - spot) % _SPOTS / _SPOTS  # since the wheel's head was here, in turns
        out[max(0, top) : top + side, max(0, left) : left + side] = round(255 - 190 * age)
    return out


class Loading:
    """Whether the notice is due: workflows were asked for and are not in use yet. ``asked`` is
    called from one thread, the rest from another one."""

    def __init__(self, while_loading: str, after_s: float = 0.25) -> None:
        """``while_loading``: old or notice. What loads within ``after_s`` shows none."""
        self._wanted = while_loading == "notice"
        self._after_s = after_s
        self._asked = 0
        self._asked_at = 0.0
        self._settled = 0

    def asked(self, now: float) -> None:
        """For another workflow."""
        if self._asked == self._settled:
            self._asked_at = now
        self._asked += 1

    def settled(self) -> None:
        """One of those is in use, or was refused."""
        self._settled += 1

    def change(self, while_loading: str | None) -> None:
        if while_loading is not None:
            self._wanted = while_loading == "notice"

    def is_due(self, now: float) -> bool:
        return self._wanted and self._asked > self._settled and now - self._asked_at > self._after_s
