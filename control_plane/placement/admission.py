"""Who is let in, where to, and when a place is free again.

Owns the queue of those who wait for a place and the tasks that clean up after a worker fell. The
slots themselves are the inventory's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass

from comfytrickle.errors import Full
from comfytrickle.messages import Status
from control_plane.placement.devices import Device
from control_plane.placement.inventory import RETRY_AFTER_S, Inventory
from control_plane.placement.needs import Meter, Needs, Workload
from control_plane.placement.placement import NoRoom
from control_plane.placement.readings import Readings
from control_plane.placement.recovery import Recovery, Remains
from control_plane.processes.worker import Worker

log = logging.getLogger(__name__)

QUEUE_MAX = 256  # each holds a caller's connection


@dataclass(slots=True, eq=False)
class Waiter:
    """A start in the queue. ``granted`` gets its device."""

    stream_id: str
    need: int
    granted: asyncio.Future[Device]


class Admission:
    """``readings``: without it no memory is known and nothing is checked (CPU slots).
    ``queue_s``: how long a start that does not fit may wait; 0: it is refused at once."""

    def __init__(
        self,
        inventory: Inventory,
        needs: Needs | None = None,
        readings: Readings | None = None,
        *,
        queue_s: float = 0.0,
    ) -> None:
        self._inventory = inventory
        self._needs = needs or Needs()
        self._readings = readings
        self._recovery = None if readings is None else Recovery(inventory, readings)
        self._queue_s = queue_s
        self._waiting: deque[Waiter] = deque()
        self._meters: dict[str, Meter] = {}
        self._cleaning: set[asyncio.Task[None]] = set()
        if readings is not None:
            readings.on_read = self._look_again

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    # --- coming in ----------------------------------------------------------------------------

    def refuse_early(self, load: Workload) -> None:
        """Before anything is asked of others: raises Full when it is sure not to fit."""
        if not self._inventory.devices:
            return  # they are still being found, and starts wait for that
        found = self._inventory.find(self._needs.of(load))
        if isinstance(found, NoRoom) and (self._queue_s == 0 or self._queue_is_full()):
            raise Full(self._words(found.reason), RETRY_AFTER_S)

    async def admit(self, stream_id: str, load: Workload) -> Device:
        """A slot, held from now on. Waits in the queue, if there is one; first come, first
        served: nobody overtakes one who waits for more memory. Raises Full.

        A caller who is cancelled may hold a slot all the same: it calls ``leave`` in any case.
        """
        need = self._needs.of(load)
        try:
            if self._waiting:
                raise Full("others wait for a place", RETRY_AFTER_S)
            return self._inventory.reserve(stream_id, need)
        except Full as error:
            if self._queue_s == 0 or self._queue_is_full():
                raise Full(self._words(str(error)), RETRY_AFTER_S) from None
        waiter = Waiter(stream_id, need, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await asyncio.wait({waiter.granted}, timeout=self._queue_s)
        finally:
            with contextlib.suppress(ValueError):  # it was served, and is out already
                self._waiting.remove(waiter)
            self._serve()  # whoever was behind it may fit
        if waiter.granted.done():
            return waiter.granted.result()
        found = self._inventory.find(need)
        reason = found.reason if isinstance(found, NoRoom) else "others were before it"
        raise Full(f"{reason}; waited {self._queue_s:g} s for a place", RETRY_AFTER_S)

    def _queue_is_full(self) -> bool:
        return len(self._waiting) >= QUEUE_MAX

    def _words(self, reason: str) -> str:
        return f"{reason}; {QUEUE_MAX} others wait for a place" if self._waiting else reason

    def _serve(self) -> None:
        while self._waiting:
            head = self._waiting[0]
            try:
                device = self._inventory.reserve(head.stream_id, head.need)
            except Full:
                return
            self._waiting.popleft()
            head.granted.set_result(device)

    # --- while it runs ------------------------------------------------------------------------

    def begins(self, stream_id: str, device: Device, load: Workload, revision: int) -> None:
        """A worker for the stream is about to start with these params."""
        self._meters[stream_id] = Meter(self._needs, device, load, revision)

    def heard(self, stream_id: str, status: Status, worker: Worker) -> None:
        """Its worker's report: what it takes is measured."""
        meter, holding = self._meters.get(stream_id), self._inventory.holding(stream_id)
        if meter is None or holding is None:
            return
        reading = self._inventory.reading(holding.device)
        listed = (reading.processes or {}).get(worker.pid or -1) if reading else None
        amount = meter.heard(status, listed)
        if amount is not None:
            self._inventory.uses(stream_id, amount, worker.pid)

    async def next_device(self, stream_id: str, worker: Worker) -> Device:
        """Where the stream's next worker starts, after this one ended: on the same device when
        its memory is free again, else on another one, if there is one."""
        holding = self._inventory.holding(stream_id)
        assert holding is not None
        remains = self._fell(stream_id, worker)
        well = remains is None or await self._wait_free(holding.device, remains)
        self._inventory.uses(stream_id, 0, None)
        return holding.device if well else self._inventory.move(stream_id)

    # --- leaving ------------------------------------------------------------------------------

    def leave(self, stream_id: str, worker: Worker | None) -> None:
        """The stream is over, or was never let in. Its slot is free at once, unless the memory
        of a worker that fell has to be seen free first. Nothing happens without a slot."""
        holding = self._inventory.holding(stream_id)
        if holding is None:
            return
        remains = None if worker is None else self._fell(stream_id, worker)
        self._meters.pop(stream_id, None)
        if remains is None:
            self._freed(stream_id)
            return
        place = object()  # the id may be used again meanwhile
        self._inventory.rename(stream_id, place)
        task = asyncio.create_task(self._clean(place, holding.device, remains))
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def _clean(self, place: object, device: Device, remains: Remains) -> None:
        try:
            await self._wait_free(device, remains)  # if it is not, the device is closed
        finally:
            self._freed(place)

    def _freed(self, holder: object) -> None:
        self._inventory.release(holder)
        if self._readings is not None:
            self._readings.soon()
        self._serve()

    def _fell(self, stream_id: str, worker: Worker) -> Remains | None:
        meter = self._meters.get(stream_id)
        if meter is not None:
            meter.ended()
        return None if self._recovery is None else self._recovery.fell(stream_id, worker)

    async def _wait_free(self, device: Device, remains: Remains) -> bool:
        assert self._recovery is not None
        return await self._recovery.wait_free(device, remains)

    def _look_again(self) -> None:
        if self._recovery is not None:
            self._recovery.look_again()
        self._serve()

    def begin(self) -> None:
        """Once the devices are known."""
        if self._readings is not None:
            self._readings.begin()

    async def close(self) -> None:
        """After the last stream. Idempotent."""
        for task in self._cleaning.copy():
            task.cancel()
            await asyncio.wait([task])
        if self._readings is not None:
            await self._readings.close()
