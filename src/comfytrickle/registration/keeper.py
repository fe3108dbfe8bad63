"""When a registration is to be said again. Pure; the clock is passed in.

The orchestrator keeps its capabilities in memory and offers no way to ask for them. It forgets one
when it restarts, or when we answered it 401. It counts the streams that it sent beside the
capacity it was told, and each registration sets that count to 0: so what we tell while streams run
are the *free* slots, from which it goes on counting up and down. Telling it again now and then also
mends a count that has gone wrong there.
"""

from __future__ import annotations

from comfytrickle.registration.shapes import Pool, offer

MISSES = 2  # looks in a row at a pool that does not answer, before it counts as gone


class Keeper:
    """One capability at one orchestrator.

    ``limit``: streams at a time, None: all slots. ``refresh_s``: say it again after so long.
    """

    def __init__(self, limit: int | None, refresh_s: float) -> None:
        self._limit = limit
        self._refresh_s = refresh_s
        self._at: float | None = None  # when it was said; None: not registered
        self._total = 0
        self._was_open = False
        self._missed = 0

    @property
    def registered(self) -> bool:
        return self._at is not None

    def capacity(self, now: float, pool: Pool | None, anew: bool) -> int | None:
        """The capacity to register now; None: nothing is to be registered.

        ``pool`` None: it did not answer. ``anew``: the orchestrator may have been restarted.
        """
        if pool is None:
            self._missed += 1
            return None
        self._missed = 0
        if not pool.is_open and (self._at is None or not pool.used):
            return None
        due = (
            self._at is None
            or anew
            or not pool.is_open  # 0 must stay 0 when a running stream ends
            or (pool.is_open, pool.total) != (self._was_open, self._total)
            or now - self._at >= self._refresh_s
        )
        return offer(pool, self._limit) if due else None

    def is_to_go(self, pool: Pool | None) -> bool:
        """To be unregistered. A closed pool that still has streams stays: their stops and changes
        find it by its registration."""
        if self._at is None:
            return False
        if pool is None:
            return self._missed >= MISSES
        return not pool.is_open and not pool.used

    def said(self, now: float, pool: Pool) -> None:
        """It was registered."""
        self._at, self._total, self._was_open = now, pool.total, pool.is_open

    def gone(self) -> None:
        """It was unregistered, or must be taken to be."""
        self._at = None
