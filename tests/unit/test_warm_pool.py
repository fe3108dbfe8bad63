"""The store of warm workers: where the next one is made, who gets one, what replaces a dead one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from comfytrickle import messages as m
from comfytrickle.errors import WorkerError
from comfytrickle.states import ExitCause
from control_plane import warm_pool
from control_plane.devices import Device
from control_plane.warm_pool import WarmPool, choose
from control_plane.worker import Worker
from tests.unit.test_control_streams import ScriptedWorker, until

A, B = Device("GPU-a", "A", slots=2), Device("GPU-b", "B", slots=2)
CPUS = [Device(f"cpu:{n}", "CPU") for n in range(2)]


def test_the_next_one_is_made_where_it_is_lacking_most() -> None:
    assert choose([A, B], {}, {}) is A
    assert choose([A, B], {"GPU-a": 1}, {}) is B
    assert choose([A, B], {}, {"GPU-a": 1}) is B
    assert choose([A, B], {"GPU-a": 2}, {"GPU-b": 1}) is B
    assert choose([A, B], {"GPU-a": 2}, {"GPU-b": 2}) is None
    assert choose([], {}, {}) is None
    assert choose(CPUS, {"cpu:0": 1}, {}) is not None  # any CPU slot is as good as another
    assert choose(CPUS, {"cpu:0": 1}, {"": 1}) is None


class Store:
    """A pool over scripted workers."""

    def __init__(self, size: int, devices: list[Device]) -> None:
        self.made: list[tuple[Device, ScriptedWorker]] = []
        self.used: dict[str, int] = {}
        self.errors: list[WorkerError] = []
        self.pool = WarmPool(size, self.make, lambda: devices, lambda: self.used)

    def make(self, device: Device, number: int) -> Worker:
        worker = ScriptedWorker(m.Launch(f"warm-{number}", "/dev/null", env=device.env))

        async def warm_up() -> None:
            if self.errors:
                worker.die(ExitCause.STARTUP_ERROR, 1)
                raise self.errors.pop()

        cast(Any, worker).warm_up = warm_up
        self.made.append((device, worker))
        return cast(Worker, worker)


async def test_taken_ones_are_replaced_and_dead_ones_are_not_given() -> None:
    store = Store(2, [A, B])
    store.pool.begin()
    await until(lambda: store.pool.ready == 2)
    assert [device.id for device, _ in store.made] == ["GPU-a", "GPU-b"]
    taken = store.pool.take(A.env)
    assert taken is cast(Worker, store.made[0][1])
    store.used = {"GPU-a": 1}
    await until(lambda: store.pool.ready == 2)
    store.made[1][1].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    assert store.pool.take(B.env) is not cast(Worker, store.made[1][1])
    await until(lambda: store.pool.ready == 2)
    assert store.pool.take({"CUDA_VISIBLE_DEVICES": "GPU-other"}) is None
    await store.pool.close()
    left = [worker for _, worker in store.made[2:] if not worker.exited.is_set()]
    assert left == []
    assert not store.made[0][1].exited.is_set()  # it is its taker's


async def test_one_that_cannot_be_made_is_tried_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(warm_pool, "FIRST_PAUSE_S", 0.01)
    store = Store(1, [A])
    store.errors = [WorkerError("no engine"), WorkerError("no engine")]
    store.pool.begin()
    await until(lambda: store.pool.ready == 1)
    assert len(store.made) == 3 and store.pool.last_error is None
    await store.pool.close()


async def test_without_a_size_there_is_none(tmp_path: Path) -> None:
    store = Store(0, [A])
    store.pool.begin()
    await asyncio.sleep(0)
    assert store.pool.take(A.env) is None and store.made == []
    await store.pool.close()
