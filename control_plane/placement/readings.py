"""Keeps the inventory's readings fresh: asks the driver now and then, never while a caller waits.

A driver's call blocks, and a broken driver may block for ever. So it is asked in a daemon thread of
its own, once at a time; when no answer comes the readings get old, which the inventory takes for
not known, and nothing else happens.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from control_plane.placement.gpus import GpuError, GpuSource, Reading
from control_plane.placement.inventory import Inventory
from control_plane.waiting import happens_within

log = logging.getLogger(__name__)

EVERY_S = 2.0


class Readings:
    """Owns the task that reads. ``on_read`` is called after each reading."""

    def __init__(self, source: GpuSource, inventory: Inventory, every_s: float = EVERY_S) -> None:
        self._source = source
        self._inventory = inventory
        self._every = every_s
        self._wanted = asyncio.Event()
        self._asking: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._complained: str | None = None
        self.on_read: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Once the inventory is filled. CPU slots have nothing to read."""
        if self._task is None and self._uuids():
            self._task = asyncio.create_task(self._keep())

    def soon(self) -> None:
        """Something has changed: do not wait for the next turn."""
        self._wanted.set()

    async def refresh(self) -> None:
        """Read now, together with whoever else asks at this moment. Waits for the driver: for
        background work only, and with a limit of the caller's."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._read())
        await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Idempotent. A call that hangs in the driver is left to its daemon thread."""
        for task in (self._task, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        self._task = None

    async def _keep(self) -> None:
        while True:
            self._wanted.clear()
            await self.refresh()
            await happens_within(self._wanted, self._every)

    async def _read(self) -> None:
        uuids = self._uuids()
        begun = self._inventory.begin_reading()
        try:
            readings = await _in_daemon_thread(lambda: self._source.read(uuids))
        except Exception as error:  # noqa: BLE001 - a driver may raise anything; nothing depends on it
            self._complain(f"{type(error).__name__}: {error}")
            readings = {uuid: Reading(error=str(error)) for uuid in uuids}
        else:
            failed = [f"{uuid}: {r.error}" for uuid, r in readings.items() if r.error]
            self._complain("; ".join(failed) or None)
        self._inventory.take_reading(readings, begun)
        self.on_read()

    def _uuids(self) -> list[str]:
        return [device.id for device in self._inventory.devices if not device.is_cpu]

    def _complain(self, problem: str | None) -> None:
        """Once for each new problem."""
        if problem is not None and problem != self._complained:
            log.error("the GPUs cannot be read: %s", problem)
        elif problem is None and self._complained is not None:
            log.info("the GPUs can be read again")
        self._complained = problem


async def _in_daemon_thread(call: Callable[[], dict[str, Reading]]) -> dict[str, Reading]:
    """Not the loop's own threads: their end is waited for when the process ends."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[dict[str, Reading]] = loop.create_future()

    def tell(result: dict[str, Reading] | None, error: Exception | None) -> None:
        if answer.done():
            return  # whoever asked is gone
        if result is not None:
            answer.set_result(result)
        else:
            answer.set_exception(error or GpuError("no answer"))

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except Exception as raised:  # noqa: BLE001 - handed to whoever asked
            error = raised
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:
            pass  # the loop has ended while the driver thought

    threading.Thread(target=run, name="gpu-readings", daemon=True).start()
    return await answer
