"""How long to wait before the next try. Pure; nothing here sleeps."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays in seconds that grow from ``first`` by ``factor`` up to ``cap``.

    Each is drawn evenly from [delay * (1 - jitter), delay], so that many clients of one server do
    not come back in step. ``jitter`` is 0..1, ``rng`` gives 0..1.
    """

    def __init__(
        self,
        first: float = 0.02,
        *,
        factor: float = 2.0,
        cap: float = 2.0,
        jitter: float = 0.5,
        rng: Callable[[], float] = random.random,
    ) -> None:
        if not (0 < first <= cap and factor >= 1 and 0 <= jitter <= 1):
            raise ValueError("0 < first <= cap, factor >= 1 and 0 <= jitter <= 1 are required")
        self._first = first
        self._factor = factor
        self._cap = cap
        self._jitter = jitter
        self._rng = rng
        self._delay = first

    def next(self) -> float:
        """The delay before the next try."""
        delay = self._delay
        self._delay = min(delay * self._factor, self._cap)
        return delay * (1 - self._jitter * self._rng())

    def reset(self) -> None:
        """Something went well: begin with the short delays again."""
        self._delay = self._first
