"""Which device the next stream gets. Pure: all that is known of the devices is passed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comfytrickle.sizes import show_bytes
from control_plane.placement.devices import Device

# Free memory is compared in steps of this: what differs by less is noise of the driver's.
MEMORY_STEP = 1 << 30


@dataclass(frozen=True, slots=True)
class Load:
    """A device as it is now."""

    device: Device
    used: int = 0  # slots
    free_memory: int | None = None  # bytes, after all reservations; None: not known, or no matter
    utilisation: float | None = None  # 0..1
    faulted: bool = False  # a worker fell on it lately: taken last
    closed: str | None = None  # why it is not given away at all at present

    @property
    def has_slot(self) -> bool:
        return self.closed is None and self.used < self.device.slots


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Why nothing fits, for the caller's eyes."""

    reason: str


def place(loads: Sequence[Load], need: int = 0) -> Device | NoRoom:
    """The device for a stream that will need ``need`` bytes of device memory (0: not known).

    Of those with a free slot and room: one without a fault lately, then the one with the most free
    memory, with the fewest streams, the least busy; the earlier one of equals. A device whose
    memory nobody can read counts as roomy enough, and is taken after those with known room.
    """
    with_slot = [load for load in loads if load.has_slot]
    if not with_slot:
        return NoRoom(_full(loads))
    roomy = [x for x in with_slot if not need or x.free_memory is None or x.free_memory >= need]
    if not roomy:
        best = max(with_slot, key=lambda x: x.free_memory or 0)
        return NoRoom(
            f"needs {show_bytes(need)}, most free is {show_bytes(max(0, best.free_memory or 0))}"
            f" on {best.device.id}"
        )
    return min(roomy, key=_order).device


def _order(load: Load) -> tuple[bool, int, int, float]:
    steps = -1 if load.free_memory is None else max(0, load.free_memory) // MEMORY_STEP
    return load.faulted, -steps, load.used, load.utilisation or 0.0


def _full(loads: Sequence[Load]) -> str:
    slots = sum(load.device.slots for load in loads)
    closed = [f"{load.device.id} {load.closed}" for load in loads if load.closed is not None]
    if not closed:
        return f"full: all {slots} slots are taken"
    open_slots = sum(load.device.slots for load in loads if load.closed is None)
    return f"full: all {open_slots} usable slots are taken; {'; '.join(closed)}"
