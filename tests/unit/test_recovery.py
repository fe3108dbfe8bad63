"""After a worker fell: its memory, its slot, its device."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from comfytrickle.errors import Unavailable
from comfytrickle.messages import Failed, Status
from comfytrickle.states import ExitCause, State
from control_plane.placement.admission import Admission
from control_plane.placement.devices import Device, Gpu
from control_plane.placement.gpus import GpuError, Reading
from control_plane.placement.inventory import Inventory
from control_plane.placement.needs import CONTEXT_BYTES, Needs, Workload
from control_plane.placement.readings import Readings
from control_plane.placement.recovery import (
    Recovery,
    Remains,
    is_fault,
    may_hold_memory,
    why_not_free,
)
from control_plane.processes.worker import Worker

GB = 1_000_000_000
LOAD = Workload("w")


class ScriptedGpus:
    """A driver by the script of a test. ``processes``: bytes by pid; None: it does not tell."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[int, int]] = {}
        self.tells_processes = True
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.reads = 0

    def find(self) -> list[Gpu]:
        return []

    def read(self, uuids: Sequence[str]) -> dict[str, Reading]:
        self.reads += 1
        self.gate.wait(20)
        if self.error is not None:
            raise self.error
        return {
            uuid: Reading(
                10 * GB,
                10 * GB - sum(self.taken.get(uuid, {}).values()),
                0.5,
                dict(self.taken.get(uuid, {})) if self.tells_processes else None,
            )
            for uuid in uuids
        }


class Bench:
    def __init__(self, slots: int = 1, gpus: int = 2, **options: Any) -> None:
        self.gpus = ScriptedGpus()
        self.devices = [Device(f"GPU-{n}", "g", slots, 10 * GB, "cuda:0") for n in range(gpus)]
        self.inventory = Inventory(self.devices)
        self.readings = Readings(self.gpus, self.inventory, every_s=0.02)
        self.admission = Admission(self.inventory, Needs(**options), self.readings)
        assert self.admission._recovery is not None
        self.admission._recovery._bound = 0.3

    def health(self) -> list[str]:
        return [device["health"] for device in self.inventory.report()]

    async def read(self) -> None:
        await asyncio.wait_for(self.readings.refresh(), 10)

    async def run(self, name: str, pid: int, amount: int) -> tuple[Device, Worker]:
        """A stream that has taken ``amount`` bytes, which the driver has seen."""
        device = await self.admission.admit(name, LOAD)
        self.admission.begins(name, device, LOAD, 0)
        worker = fallen(pid, None)
        status = Status(seq=1, state=State.STREAMING, device_memory=amount - CONTEXT_BYTES)
        self.gpus.taken.setdefault(device.id, {})[pid] = amount
        self.admission.heard(name, status, worker)
        await self.read()
        return device, worker


@pytest.fixture
async def bench() -> Any:
    made = Bench()
    await made.read()
    yield made
    made.gpus.gate.set()
    await made.admission.close()


def fallen(pid: int, cause: ExitCause | None, kind: str = "worker") -> Worker:
    failures = [(1.0, Failed(kind, "x"))]
    return cast(Worker, SimpleNamespace(pid=pid, exit_cause=cause, failures=failures))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


# --- pure -------------------------------------------------------------------------------------


def test_what_is_a_fault_of_the_device() -> None:
    assert is_fault(ExitCause.SIGNALLED, set()) and is_fault(ExitCause.UNRESPONSIVE, set())
    assert is_fault(ExitCause.NONZERO, {"device"})
    assert not is_fault(ExitCause.NONZERO, {"source"})
    assert not is_fault(ExitCause.KILLED_BY_US, set())
    assert may_hold_memory(ExitCause.KILLED_BY_US, set()) and may_hold_memory(None, set())
    assert not may_hold_memory(ExitCause.REQUESTED, set())
    assert not may_hold_memory(ExitCause.NONZERO, {"source"})


@pytest.mark.parametrize(
    ("remains", "reading", "why"),
    [
        (Remains(7, True, 2 * GB, GB), Reading(None, 3 * GB, None, {8: GB}), None),
        (Remains(7, True, 2 * GB, GB), Reading(None, 9 * GB, None, {7: GB}), "holds 1.0 GB"),
        # Pids that are not ours: what it held has to come back, mostly.
        (Remains(7, False, 2 * GB, GB), Reading(None, GB, None, {99: GB}), "only 0 B"),
        (Remains(7, False, 2 * GB, GB), Reading(None, 2 * GB, None, None), None),
        (Remains(7, False, 2 * GB, GB), Reading(None, GB // 2, None, None), "of its 2.0 GB"),
        # Nothing was known of it: nothing can be asked.
        (Remains(7, False, 0, GB), Reading(None, GB, None, None), None),
        (Remains(7, False, 2 * GB, None), Reading(None, GB, None, None), None),
        (Remains(7), None, "no reading"),
        (Remains(7), Reading(error="GPU is lost"), "GPU is lost"),
    ],
)
def test_why_not_free(remains: Remains, reading: Reading | None, why: str | None) -> None:
    found = why_not_free(remains, reading)
    assert (found is None) if why is None else (found is not None and why in found)


# --- the way of a slot ------------------------------------------------------------------------


async def test_a_slot_is_not_given_away_before_the_memory_is_free(bench: Bench) -> None:
    device, worker = await bench.run("a", 7, 4 * GB)
    worker.exit_cause = ExitCause.SIGNALLED
    bench.admission.leave("a", worker)
    assert bench.inventory.used() == {device.id: 1}  # its id is free, its slot is not
    await until(lambda: bench.health()[0] == "checking")
    assert (await bench.admission.admit("a", Workload("other"))).id == "GPU-1"
    with pytest.raises(Unavailable, match="full: all 2 slots"):
        await bench.admission.admit("b", Workload("other"))
    del bench.gpus.taken[device.id][7]
    await until(lambda: bench.inventory.used() == {"GPU-1": 1})
    assert bench.health() == ["suspect", "ok"]
    assert (await bench.admission.admit("b", Workload("other"))) == device


async def test_memory_that_stays_closes_the_device_until_it_is_free(bench: Bench) -> None:
    device, worker = await bench.run("a", 7, 4 * GB)
    worker.exit_cause = ExitCause.SIGNALLED
    bench.admission.leave("a", worker)
    await until(lambda: bench.health()[0] == "unhealthy")
    assert (
        "pid 7 is dead and the driver still holds 4.0 GB" in bench.inventory.report()[0]["reason"]
    )
    await until(lambda: bench.inventory.free == 2)
    assert (await bench.admission.admit("b", Workload("other"))).id == "GPU-1"
    with pytest.raises(Unavailable, match=r"1 usable slots are taken; GPU-0 is unhealthy: .*pid 7"):
        await bench.admission.admit("c", Workload("other"))
    bench.gpus.taken.clear()
    await bench.read()
    assert bench.health() == ["suspect", "ok"]
    assert (await bench.admission.admit("c", Workload("other"))) == device


async def test_the_next_worker_moves_when_the_device_is_not_well(bench: Bench) -> None:
    device, worker = await bench.run("a", 7, 4 * GB)
    worker.exit_cause = ExitCause.SIGNALLED
    bench.gpus.taken[device.id] = {}
    assert await bench.admission.next_device("a", worker) == device
    worker.pid = 8
    bench.gpus.taken[device.id] = {8: GB}
    await bench.read()
    assert (await bench.admission.next_device("a", worker)).id == "GPU-1"
    assert bench.inventory.used() == {"GPU-1": 1}
    assert bench.health() == ["unhealthy", "ok"]


@pytest.mark.parametrize("cause", [ExitCause.REQUESTED, ExitCause.SOURCE_ENDED])
async def test_a_good_end_is_not_checked(bench: Bench, cause: ExitCause) -> None:
    _, worker = await bench.run("a", 7, 4 * GB)
    worker.exit_cause = cause
    bench.admission.leave("a", worker)
    assert bench.inventory.free == 2 and bench.health() == ["ok", "ok"]
    bench.admission.leave("a", worker)  # again: nothing


async def test_cpu_slots_are_free_at_once() -> None:
    inventory = Inventory([Device("cpu:0", "CPU")])
    admission = Admission(inventory, readings=Readings(ScriptedGpus(), inventory))
    admission.begin()
    await admission.admit("a", LOAD)
    admission.leave("a", fallen(7, ExitCause.SIGNALLED))
    assert inventory.free == 1 and inventory.report()[0]["health"] == "ok"
    await admission.close()


async def test_a_gpu_that_cannot_be_read_is_used_on_without_a_check(bench: Bench) -> None:
    _, worker = await bench.run("a", 7, 4 * GB)
    bench.gpus.error = GpuError("the driver is broken")
    await bench.read()
    worker.exit_cause = ExitCause.SIGNALLED
    bench.admission.leave("a", worker)
    assert bench.inventory.free == 2
    assert bench.inventory.report()[1]["reason"] == "the driver is broken"


async def test_a_driver_that_hangs_during_the_check_closes_the_device(bench: Bench) -> None:
    _, worker = await bench.run("a", 7, 4 * GB)
    bench.gpus.gate.clear()
    worker.exit_cause = ExitCause.SIGNALLED
    bench.admission.leave("a", worker)
    await until(lambda: bench.inventory.free == 2)
    assert bench.health()[0] == "unhealthy"
    bench.gpus.taken.clear()
    bench.gpus.gate.set()
    await until(lambda: bench.health()[0] == "suspect")  # that reading came after all


# --- memory for the next ------------------------------------------------------------------------


async def test_what_was_measured_decides_the_next_admission() -> None:
    bench = Bench(slots=4, gpus=2)
    await bench.read()
    assert (await bench.run("a", 7, 6 * GB))[0].id == "GPU-0"
    assert (await bench.run("b", 8, 6 * GB))[0].id == "GPU-1"
    with pytest.raises(Unavailable, match=r"needs 6\.0 GB, most free is 4\.0 GB on GPU-0") as full:
        bench.admission.refuse_early(LOAD)
    assert full.value.retry_after > 0
    with pytest.raises(Unavailable, match=r"needs 6\.0 GB"):
        await bench.admission.admit("c", LOAD)
    await bench.admission.admit("d", Workload("small"))  # nothing known of it
    ended = fallen(8, ExitCause.REQUESTED)
    bench.admission.leave("b", ended)
    bench.gpus.taken["GPU-1"] = {}
    await bench.read()
    assert (await bench.admission.admit("c", LOAD)).id == "GPU-1"
    await bench.admission.close()


# --- the readings -------------------------------------------------------------------------------


async def test_readings_are_refreshed_and_a_broken_driver_stops_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    seen = bench.gpus.reads
    bench.readings.begin()
    bench.gpus.error = ValueError("not even an error of its own")
    await until(lambda: bench.gpus.reads > seen + 3)
    assert [device["memory"]["free"] for device in bench.inventory.report()] == [None, None]
    assert caplog.text.count("not even an error of its own") == 1  # said once
    assert isinstance(await bench.admission.admit("a", LOAD), Device)
    bench.gpus.error = None
    await until(lambda: bench.inventory.report()[0]["memory"]["free"] == 10 * GB)


async def test_a_driver_that_hangs_is_asked_once_and_left_at_the_end(bench: Bench) -> None:
    bench.gpus.gate.clear()
    before = bench.gpus.reads
    asking = [asyncio.create_task(bench.readings.refresh()) for _ in range(5)]
    await until(lambda: bench.gpus.reads == before + 1)
    for task in asking[:4]:
        task.cancel()
    await asyncio.wait_for(bench.readings.close(), 5)
    assert asking[4].cancelled() or (await asyncio.wait({asking[4]}, timeout=5))[0]
    assert bench.gpus.reads == before + 1
    bench.gpus.gate.set()


async def test_a_check_ends_with_its_bound(bench: Bench) -> None:
    recovery = Recovery(bench.inventory, bench.readings, bound_s=0.05)
    bench.gpus.taken["GPU-0"] = {7: GB}
    device = bench.devices[0]
    assert not await recovery.wait_free(device, Remains(7, True, GB, 9 * GB))
    assert bench.inventory.condition(device).checking == 0
    bench.gpus.taken.clear()
    assert await recovery.wait_free(device, Remains(7, True, GB, 9 * GB))
