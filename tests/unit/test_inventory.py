"""Slots, and memory that is reserved until it shows in the readings."""

from __future__ import annotations

import pytest

from comfytrickle.errors import Unavailable
from control_plane.placement.devices import Device
from control_plane.placement.gpus import Reading
from control_plane.placement.inventory import FAULT_LATELY_S, READING_STALE_S, Inventory
from control_plane.placement.placement import NoRoom

GB = 1_000_000_000


def cpus(count: int) -> list[Device]:
    return [Device(f"cpu:{n}", "CPU") for n in range(count)]


def gpus(count: int, slots: int = 2) -> list[Device]:
    return [Device(f"GPU-{n}", "H200", slots, 80 * GB, "cuda:0") for n in range(count)]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def read(inventory: Inventory, **free: float) -> None:
    """GPU_0=3: 3 GB are free on GPU-0."""
    inventory.take_reading(
        {
            name.replace("_", "-"): Reading(80 * GB, int(amount * GB), 0.25, {})
            for name, amount in free.items()
        },
        inventory.begin_reading(),
    )


def test_admission_is_exact() -> None:
    inventory = Inventory(cpus(2))
    assert {inventory.reserve("a").id, inventory.reserve("b").id} == {"cpu:0", "cpu:1"}
    assert inventory.free == 0
    with pytest.raises(Unavailable, match="all 2 slots") as caught:
        inventory.reserve("c")
    assert caught.value.retry_after > 0
    with pytest.raises(ValueError, match="holds a slot already"):
        inventory.reserve("a")
    inventory.release("a")
    inventory.release("a")  # a second time is no second slot
    assert inventory.free == 1
    assert inventory.reserve("c").id == "cpu:0"
    assert inventory.free == 0


def test_max_streams_limits_all_devices_together() -> None:
    inventory = Inventory(cpus(4), max_streams=1)
    inventory.reserve("a")
    with pytest.raises(Unavailable, match="all 1 slots"):
        inventory.reserve("b")


def test_what_is_reserved_counts_until_it_shows() -> None:
    inventory = Inventory(gpus(1, slots=4))
    read(inventory, GPU_0=10)
    inventory.reserve("a", 6 * GB)
    refused = inventory.find(6 * GB)
    assert refused == NoRoom("needs 6.0 GB, most free is 4.0 GB on GPU-0")
    begun = inventory.begin_reading()
    inventory.uses("a", 6 * GB, 11)  # after the reading began: it may not be in it
    inventory.take_reading({"GPU-0": Reading(80 * GB, 10 * GB)}, begun)
    assert isinstance(inventory.find(6 * GB), NoRoom)
    read(inventory, GPU_0=4)  # now it is, and is not subtracted twice
    assert isinstance(inventory.find(4 * GB), Device)
    inventory.release("a")
    assert isinstance(inventory.find(6 * GB), NoRoom)  # until the driver says so
    read(inventory, GPU_0=10)
    assert isinstance(inventory.find(6 * GB), Device)


def test_what_the_driver_lists_for_a_process_has_shown() -> None:
    inventory = Inventory(gpus(1))
    inventory.reserve("a", 6 * GB)
    inventory.uses("a", GB, 11)
    inventory.take_reading(
        {"GPU-0": Reading(80 * GB, 5 * GB, None, {11: 5 * GB, 99: 70 * GB})},
        inventory.begin_reading(),
    )
    assert inventory.find(4 * GB) == inventory.devices[0]  # 1 GB is still to come
    assert isinstance(inventory.find(4 * GB + 1), NoRoom)
    inventory.uses("a", 0, None)  # its worker is gone: the next one will need all of it again
    assert isinstance(inventory.find(1), NoRoom)


def test_an_old_reading_is_none() -> None:
    clock = Clock()
    inventory = Inventory(gpus(1), clock=clock)
    read(inventory, GPU_0=1)
    assert isinstance(inventory.find(2 * GB), NoRoom)
    assert inventory.report()[0]["memory"] == {"total": 80 * GB, "free": GB}
    clock.now += READING_STALE_S + 1
    assert inventory.find(2 * GB) == inventory.devices[0]
    assert inventory.report()[0]["memory"] == {"total": 80 * GB, "free": None}


def test_a_device_that_faulted_lately_is_taken_last() -> None:
    clock = Clock()
    inventory = Inventory(gpus(2), clock=clock)
    first, second = inventory.devices
    inventory.fault(first)
    assert inventory.find() == second
    assert [d["health"] for d in inventory.report()] == ["suspect", "ok"]
    clock.now += FAULT_LATELY_S
    assert inventory.find() == first
    inventory.take_reading({"GPU-0": Reading(error="GPU is lost")}, {})
    assert inventory.find() == second
    assert inventory.report()[0]["reason"] == "GPU is lost"


def test_a_closed_device_is_not_taken_and_left_when_there_is_another() -> None:
    inventory = Inventory(gpus(2, slots=1))
    assert inventory.reserve("a").id == "GPU-0"
    inventory.condition(inventory.devices[0]).unhealthy = "it burns"
    assert inventory.move("a").id == "GPU-1"
    assert inventory.used() == {"GPU-1": 1}
    with pytest.raises(Unavailable, match=r"1 usable slots .* GPU-0 is unhealthy: it burns"):
        inventory.reserve("b")
    inventory.condition(inventory.devices[1]).unhealthy = "so does it"
    assert inventory.move("a").id == "GPU-1"  # nowhere to go


def test_the_report_says_null_where_nothing_is_known() -> None:
    (report,) = Inventory(cpus(1)).report()
    assert report == {
        "id": "cpu:0",
        "name": "CPU",
        "slots": 1,
        "used": 0,
        "memory": {"total": None, "free": None},
        "utilisation": None,
        "health": "ok",
        "reason": None,
    }
