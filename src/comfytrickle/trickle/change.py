"""Wait for something to have changed."""

from __future__ import annotations

import asyncio


class Change:
    """One task waits, others wake it. Which change it was, the waiter looks up itself."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    def notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, deadline: float | None) -> None:
        """Until notified, at most until ``deadline`` (loop time; None: no limit)."""
        self._waiter = self._loop.create_future()
        timer = None if deadline is None else self._loop.call_at(deadline, self.notify)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
