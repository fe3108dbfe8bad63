"""After a worker fell on a GPU: is its memory free again?

The driver frees a dead process's memory in its own time, and after a fault of the device perhaps
never. Until it is seen free the slot is not given away again; when that takes too long the device
is closed, and looked at with every later reading.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from comfytrickle.sizes import show_bytes
from comfytrickle.states import ExitCause
from control_plane.placement.devices import Device
from control_plane.placement.gpus import Reading
from control_plane.placement.inventory import Inventory
from control_plane.placement.readings import Readings
from control_plane.processes.worker import Worker

log = logging.getLogger(__name__)

_ENDED_BY_US = (None, ExitCause.KILLED_BY_US, ExitCause.STARTUP_TIMEOUT)
BOUND_S = 5.0
LOOK_EVERY_S = 0.05


def is_fault(cause: ExitCause | None, kinds: set[str]) -> bool:
    """May the device have a part in it? ``kinds``: of the failures that the worker reported."""
    return cause in (ExitCause.SIGNALLED, ExitCause.UNRESPONSIVE) or "device" in kinds


def may_hold_memory(cause: ExitCause | None, kinds: set[str]) -> bool:
    """It did not leave by itself, so that the driver has to clean up after it."""
    return is_fault(cause, kinds) or cause in _ENDED_BY_US


@dataclass(frozen=True, slots=True)
class Remains:
    """What is known of a dead worker. ``listed``: the driver had it among its processes.
    ``free_then``: bytes that were free on the device while it held ``held``."""

    pid: int | None
    listed: bool = False
    held: int = 0
    free_then: int | None = None


def why_not_free(remains: Remains, reading: Reading | None) -> str | None:
    """None: its memory is free again, as far as can be told. Pure.

    Where the driver has listed the process, that is told exactly. Else (in a container the
    driver's pids may be the host's) half of what it held has to be back: the rest may have been
    taken by others meanwhile.
    """
    if reading is None or reading.error is not None:
        cause = "no reading" if reading is None else reading.error
        return f"it cannot be read ({cause}) since worker pid {remains.pid} fell on it"
    kept_bytes = (reading.processes or {}).get(remains.pid or -1)
    if kept_bytes is not None:
        kept = show_bytes(kept_bytes)
        return f"worker pid {remains.pid} is dead and the driver still holds {kept} for it"
    if remains.listed or not remains.held:
        return None
    if remains.free_then is None or reading.memory_free is None:
        return None
    back = reading.memory_free - remains.free_then
    if back >= remains.held / 2:
        return None
    return (
        f"worker pid {remains.pid} is dead and of its {show_bytes(remains.held)}"
        f" only {show_bytes(max(0, back))} are free again"
    )


class Recovery:
    """Checks, and closes and opens devices by what it finds. Owns nothing that has to end."""

    def __init__(
        self, inventory: Inventory, readings: Readings, *, bound_s: float = BOUND_S
    ) -> None:
        self._inventory = inventory
        self._readings = readings
        self._bound = bound_s
        self._closed: dict[Device, list[Remains]] = {}

    def fell(self, holder: str, worker: Worker) -> Remains | None:
        """A worker has ended; ``holder`` holds its slot. None: there is nothing to check."""
        holding = self._inventory.holding(holder)
        if holding is None or holding.device.is_cpu or worker.pid is None:
            return None
        kinds = {failed.kind for _, failed in worker.failures}
        if is_fault(worker.exit_cause, kinds):
            self._inventory.fault(holding.device)
        if not may_hold_memory(worker.exit_cause, kinds):
            return None
        reading = self._inventory.reading(holding.device)
        if reading is None or reading.error is not None:
            log.warning("%s cannot be read: it is used on without a check", holding.device.id)
            return None
        return Remains(
            worker.pid,
            listed=worker.pid in (reading.processes or {}),
            held=holding.shown,
            free_then=reading.memory_free,
        )

    async def wait_free(self, device: Device, remains: Remains) -> bool:
        """Until the memory is free; False when it was not within the bound: the device is closed
        then."""
        condition = self._inventory.condition(device)
        condition.checking += 1
        try:
            await asyncio.wait_for(self._until_free(device, remains), self._bound)
        except asyncio.TimeoutError:
            why = why_not_free(remains, self._inventory.reading(device))
            condition.unhealthy = why or "the driver did not answer in time"
            self._closed.setdefault(device, []).append(remains)
            log.error("device %s is closed: %s", device.id, condition.unhealthy)
            return False
        finally:
            condition.checking -= 1
        return True

    async def _until_free(self, device: Device, remains: Remains) -> None:
        while True:
            await self._readings.refresh()  # begun after the process had ended
            if why_not_free(remains, self._inventory.reading(device)) is None:
                return
            await asyncio.sleep(LOOK_EVERY_S)

    def look_again(self) -> None:
        """After a reading: what was closed may be well again."""
        for device, fallen in list(self._closed.items()):
            condition, reading = self._inventory.condition(device), self._inventory.reading(device)
            reasons = [(r, why) for r in fallen if (why := why_not_free(r, reading)) is not None]
            if reasons:
                self._closed[device] = [remains for remains, _ in reasons]
                condition.unhealthy = reasons[-1][1]
            else:
                del self._closed[device]
                condition.unhealthy = None
                log.warning("device %s is open again", device.id)
