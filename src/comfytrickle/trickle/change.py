"""Wait for something to have changed."""

from __future__ import annotations

import asyncio


class Change:
    """Tasks wait, others wake them. Which change it was, a waiter looks up itself."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, deadline: float | None) -> None:
        """Until notified, at most until ``deadline`` (loop time; None: no limit)."""
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        timer = None if deadline is None else self._loop.call_at(deadline, self.notify)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()
