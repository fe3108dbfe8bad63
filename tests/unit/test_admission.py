"""The queue of those who wait for a place; with slots alone, on CPU devices."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from comfytrickle.errors import Unavailable
from control_plane.placement import admission as module
from control_plane.placement.admission import Admission
from control_plane.placement.devices import Device
from control_plane.placement.inventory import Inventory
from control_plane.placement.needs import Workload

LOAD = Workload("w")


def made(slots: int = 1, queue_s: float = 30.0) -> tuple[Admission, Inventory]:
    inventory = Inventory([Device(f"cpu:{n}", "CPU") for n in range(slots)])
    return Admission(inventory, queue_s=queue_s), inventory


async def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def waiters(admission: Admission, *names: str) -> list[asyncio.Task[Device]]:
    tasks = []
    for name in names:
        tasks.append(asyncio.create_task(admission.admit(name, LOAD)))
        await asyncio.sleep(0)
    await until(lambda: admission.waiting == len(names))
    return tasks


async def test_without_a_queue_a_full_pool_refuses_at_once() -> None:
    admission, _ = made(queue_s=0)
    await admission.admit("a", LOAD)
    with pytest.raises(Unavailable, match=r"full: all 1 slots are taken$"):
        admission.refuse_early(LOAD)
    with pytest.raises(Unavailable, match=r"full: all 1 slots are taken$"):
        await admission.admit("b", LOAD)
    admission.leave("a", None)
    admission.refuse_early(LOAD)


async def test_before_the_devices_are_known_nobody_is_refused_early() -> None:
    admission = Admission(Inventory())
    admission.refuse_early(LOAD)


async def test_first_come_first_served() -> None:
    admission, inventory = made()
    await admission.admit("a", LOAD)
    admission.refuse_early(LOAD)  # it may wait
    b, c, d = await waiters(admission, "b", "c", "d")
    admission.leave("a", None)
    assert (await b).id == "cpu:0"
    with pytest.raises(ValueError):
        inventory.reserve("b")  # it holds the slot that it was given
    assert admission.waiting == 2
    admission.leave("b", None)
    admission.leave("b", None)
    assert (await c).id == "cpu:0"
    late = asyncio.create_task(admission.admit("late", LOAD))
    await until(lambda: admission.waiting == 2)
    admission.leave("c", None)
    assert (await d).id == "cpu:0" and not late.done()
    admission.leave("d", None)
    await late
    assert inventory.used() == {"cpu:0": 1} and admission.waiting == 0


async def test_whoever_waited_in_vain_is_told() -> None:
    admission, inventory = made(queue_s=0.05)
    await admission.admit("a", LOAD)
    with pytest.raises(Unavailable, match=r"all 1 slots are taken; waited 0\.05 s for a place"):
        await admission.admit("b", LOAD)
    assert admission.waiting == 0
    admission.leave("b", None)
    assert inventory.free == 0


async def test_one_who_leaves_the_queue_leaves_nothing() -> None:
    admission, inventory = made()
    await admission.admit("a", LOAD)
    b, c = await waiters(admission, "b", "c")
    b.cancel()
    with pytest.raises(asyncio.CancelledError):
        await b
    assert admission.waiting == 1
    admission.leave("a", None)
    await c
    # Cancelled in the moment in which it was served: it holds a slot, and gives it back.
    (d,) = await waiters(admission, "d")
    admission.leave("c", None)
    d.cancel()
    with pytest.raises(asyncio.CancelledError):
        await d
    admission.leave("d", None)
    assert inventory.free == 1


async def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_MAX", 2)
    admission, _ = made()
    await admission.admit("a", LOAD)
    tasks = await waiters(admission, "b", "c")
    for refuse in (lambda: admission.refuse_early(LOAD), lambda: admission.admit("d", LOAD)):
        with pytest.raises(Unavailable, match="2 others wait for a place"):
            result = refuse()
            if result is not None:
                await result
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_many_at_once_get_exactly_what_there_is() -> None:
    admission, inventory = made(slots=16, queue_s=0)
    results = await asyncio.gather(
        *(admission.admit(f"s{n}", LOAD) for n in range(100)), return_exceptions=True
    )
    assert [isinstance(r, Device) for r in results].count(True) == 16
    assert len({r.id for r in results if isinstance(r, Device)}) == 16
    for n in range(100):
        admission.leave(f"s{n}", None)
    assert inventory.free == 16
