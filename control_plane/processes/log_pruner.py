"""When old logs are removed: beside everything else, so that no start waits for the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from control_plane.processes.logfiles import LogDir

log = logging.getLogger(__name__)

AFTER_S = 0.5  # many starts at a time make one pass


class LogPruner:
    """Owns the pass that is under way, or about to be."""

    def __init__(self, logs: LogDir) -> None:
        self._logs = logs
        self._task: asyncio.Task[None] | None = None

    def soon(self, in_use: Callable[[], Collection[str]]) -> None:
        """``in_use``: gives the ids of the streams whose logs stay."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._prune(in_use))

    async def close(self) -> None:
        """Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _prune(self, in_use: Callable[[], Collection[str]]) -> None:
        await asyncio.sleep(AFTER_S)
        try:
            await asyncio.to_thread(self._logs.prune, in_use())
        except OSError as error:
            log.warning("cannot remove old logs: %s", error)
