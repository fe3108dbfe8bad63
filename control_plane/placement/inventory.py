"""Who holds which slot, and what is known of each device. Admission is exact: a stream either
holds a slot or does not run. The only place where a slot is taken or given back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfytrickle.errors import Full
from control_plane.placement.devices import Device
from control_plane.placement.gpus import Reading
from control_plane.placement.placement import Load, NoRoom, place

READING_STALE_S = 10.0  # an older one says nothing of the present
FAULT_LATELY_S = 300.0
RETRY_AFTER_S = 5.0


@dataclass(slots=True)
class Holding:
    """One slot. Bytes of device memory."""

    device: Device
    need: int  # is kept free for it until it has taken that much
    in_use: int = 0  # what its worker has taken, by the last word of it
    shown: int = 0  # of that, what is in the present reading of the device
    pid: int | None = None


@dataclass(slots=True)
class Condition:
    """What is known of one device. Times are of the inventory's clock."""

    reading: Reading | None = None
    read_at: float = 0.0
    faulted_at: float | None = None
    checking: int = 0  # slots that wait for their memory to be free
    unhealthy: str | None = None


class Inventory:
    """See the module. ``clock``: seconds, monotonic."""

    def __init__(
        self,
        devices: Sequence[Device] = (),
        max_streams: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_streams = max_streams
        self._clock = clock
        self._holdings: dict[Hashable, Holding] = {}
        self.fill(devices)

    def fill(self, devices: Sequence[Device]) -> None:
        """Once, when the devices are known (asking the driver takes longer than /health may)."""
        self.devices = tuple(devices)
        slots = sum(d.slots for d in devices)
        self.total = slots if self._max_streams is None else min(slots, self._max_streams)
        self._conditions = {d.id: Condition() for d in devices}

    # --- slots --------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        return self.total - len(self._holdings)

    def used(self) -> dict[str, int]:
        """Slots in use, by device id."""
        counts: dict[str, int] = {}
        for holding in self._holdings.values():
            counts[holding.device.id] = counts.get(holding.device.id, 0) + 1
        return counts

    def holding(self, holder: Hashable) -> Holding | None:
        return self._holdings.get(holder)

    def find(self, need: int = 0) -> Device | NoRoom:
        """Where a stream with this need would go now."""
        closed = any(condition.unhealthy for condition in self._conditions.values())
        if self.devices and self.free <= 0 and not closed:  # most refusals; and --max-streams
            return NoRoom(f"full: all {self.total} slots are taken")
        return place(self._loads(), need)

    def reserve(self, holder: Hashable, need: int = 0) -> Device:
        """Take a slot. Raises Full with the reason when there is none."""
        if holder in self._holdings:
            raise ValueError(f"{holder} holds a slot already")
        found = self.find(need)
        if isinstance(found, NoRoom):
            raise Full(found.reason, RETRY_AFTER_S)
        self._holdings[holder] = Holding(found, need)
        return found

    def release(self, holder: Hashable) -> None:
        """Give the slot back. Nothing happens when none is held."""
        self._holdings.pop(holder, None)

    def rename(self, holder: Hashable, new: Hashable) -> None:
        """The slot goes to another holder, who must not hold one yet."""
        if new in self._holdings:
            raise ValueError(f"{new} holds a slot already")
        self._holdings[new] = self._holdings.pop(holder)

    def move(self, holder: Hashable) -> Device:
        """To a better device if there is one with room, for the one it is on is closed."""
        old = self._holdings.pop(holder)
        found = place(self._loads(), old.need)
        device = old.device if isinstance(found, NoRoom) else found
        self._holdings[holder] = Holding(device, old.need)
        return device

    # --- memory -------------------------------------------------------------------------------

    def uses(self, holder: Hashable, in_use: int, pid: int | None) -> None:
        """What the holder's worker has taken by now; 0 when it has none any more."""
        holding = self._holdings.get(holder)
        if holding is None:
            return
        if pid != holding.pid:
            holding.shown = 0
        holding.in_use, holding.pid = in_use, pid

    def begin_reading(self) -> dict[Hashable, int]:
        """To be called before the devices are read: what is taken by now will be in it."""
        return {holder: holding.in_use for holder, holding in self._holdings.items()}

    def take_reading(self, readings: Mapping[str, Reading], begun: Mapping[Hashable, int]) -> None:
        """``begun``: from begin_reading."""
        now = self._clock()
        for device_id, reading in readings.items():
            condition = self._conditions.get(device_id)
            if condition is not None:
                condition.reading, condition.read_at = reading, now
        for holder, holding in self._holdings.items():
            fresh = readings.get(holding.device.id)
            if fresh is None:
                continue
            listed = (fresh.processes or {}).get(holding.pid or -1, 0)
            holding.shown = max(min(begun.get(holder, 0), holding.in_use), listed)

    def reading(self, device: Device) -> Reading | None:
        """The last one, unless it is old."""
        condition = self._conditions[device.id]
        fresh = self._clock() - condition.read_at <= READING_STALE_S
        return condition.reading if fresh else None

    def condition(self, device: Device) -> Condition:
        return self._conditions[device.id]

    def fault(self, device: Device) -> None:
        """A worker fell on it."""
        self._conditions[device.id].faulted_at = self._clock()

    def _free_memory(self, device: Device) -> int | None:
        reading = self.reading(device)
        if reading is None or reading.memory_free is None:
            return None
        return reading.memory_free - sum(
            max(0, h.need - h.shown) for h in self._holdings.values() if h.device.id == device.id
        )

    def _faulted_lately(self, device: Device) -> bool:
        condition, reading = self._conditions[device.id], self.reading(device)
        if reading is not None and reading.error is not None:
            return True
        at = condition.faulted_at
        return at is not None and self._clock() - at < FAULT_LATELY_S

    def _loads(self) -> list[Load]:
        used = self.used()
        loads = []
        for device in self.devices:
            reading, condition = self.reading(device), self._conditions[device.id]
            loads.append(
                Load(
                    device=device,
                    used=used.get(device.id, 0),
                    free_memory=self._free_memory(device),
                    utilisation=None if reading is None else reading.utilisation,
                    faulted=self._faulted_lately(device),
                    closed=f"is unhealthy: {condition.unhealthy}" if condition.unhealthy else None,
                )
            )
        return loads

    # --- for people ---------------------------------------------------------------------------

    def report(self) -> list[dict[str, Any]]:
        """The devices of /health."""
        used = self.used()
        return [
            {
                "id": device.id,
                "name": device.name,
                "slots": device.slots,
                "used": used.get(device.id, 0),
                **self._report_one(device),
            }
            for device in self.devices
        ]

    def _report_one(self, device: Device) -> dict[str, Any]:
        condition, reading = self._conditions[device.id], self.reading(device) or Reading()
        health, reason = "ok", reading.error
        if condition.unhealthy is not None:
            health, reason = "unhealthy", condition.unhealthy
        elif condition.checking:
            health, reason = "checking", "the memory of a worker that fell is not seen free yet"
        elif self._faulted_lately(device):
            health, reason = "suspect", reason or "a worker fell on it lately: it is taken last"
        return {
            "memory": {
                "total": reading.memory_total or device.memory_total,
                "free": reading.memory_free,
            },
            "utilisation": reading.utilisation,
            "health": health,
            "reason": reason,
        }
