"""The store of warm workers: where the next one is made, who gets one, what replaces a dead one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from comfytrickle import messages as m
from comfytrickle.errors import WorkerError
from comfytrickle.states import ExitCause
from control_plane.engines import warm_pool
from control_plane.engines.recipes import Need, Recipe, misfit
from control_plane.engines.warm_pool import WarmPool, choose
from control_plane.placement.devices import Device
from control_plane.processes.worker import Worker
from tests.unit.test_control_streams import ScriptedWorker, until

A, B = Device("GPU-a", "A", slots=2), Device("GPU-b", "B", slots=2)
PLAIN = Recipe("embedded")
ANY = Need("embedded", "some-digest")
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

    def __init__(
        self, size: int, devices: list[Device], recipes: tuple[Recipe, ...] = (PLAIN,)
    ) -> None:
        self.made: list[tuple[Device, ScriptedWorker]] = []
        self.recipes: list[Recipe] = []  # of those made, in that order
        self.used: dict[str, int] = {}
        self.errors: list[WorkerError] = []
        self.pool = WarmPool(size, recipes, self.make, lambda: devices, lambda: self.used)

    def worker_of(self, recipe: Recipe) -> Worker:
        return cast(Worker, self.made[self.recipes.index(recipe)][1])

    def make(self, recipe: Recipe, device: Device, number: int) -> Worker:
        self.recipes.append(recipe)
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
    await until(lambda: store.pool.ready() == 2)
    assert [device.id for device, _ in store.made] == ["GPU-a", "GPU-b"]
    taken = store.pool.take(A.env, ANY)
    assert taken is cast(Worker, store.made[0][1])
    store.used = {"GPU-a": 1}
    await until(lambda: store.pool.ready() == 2)
    store.made[1][1].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    assert store.pool.take(B.env, ANY) is not cast(Worker, store.made[1][1])
    await until(lambda: store.pool.ready() == 2)
    assert store.pool.take({"CUDA_VISIBLE_DEVICES": "GPU-other"}, ANY) is None
    await store.pool.close()
    left = [worker for _, worker in store.made[2:] if not worker.exited.is_set()]
    assert left == []
    assert not store.made[0][1].exited.is_set()  # it is its taker's


async def test_one_that_cannot_be_made_is_tried_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(warm_pool, "FIRST_PAUSE_S", 0.01)
    store = Store(1, [A])
    store.errors = [WorkerError("no engine"), WorkerError("no engine")]
    store.pool.begin()
    await until(lambda: store.pool.ready() == 1)
    assert len(store.made) == 3 and store.pool.last_errors == {}
    await store.pool.close()


async def test_without_a_size_there_is_none(tmp_path: Path) -> None:
    store = Store(0, [A])
    store.pool.begin()
    await asyncio.sleep(0)
    assert store.pool.take(A.env, ANY) is None and store.made == []
    await store.pool.close()


def test_what_fits_best() -> None:
    need = Need("comfyui", "d", (640, 360))
    assert misfit(Recipe("comfyui", "d", (640, 360)), need) == 0
    assert misfit(Recipe("comfyui", "d", (64, 36)), need) == 1
    assert misfit(Recipe("comfyui"), need) == 2
    assert misfit(Recipe("comfyui", "other", (640, 360)), need) == 3
    assert misfit(Recipe("embedded", "d", (640, 360)), need) is None


async def test_a_stream_gets_what_was_made_for_it() -> None:
    """By engine, workflow and size; what was made for another workflow only when all else is
    gone, and never another engine's."""
    small, large = Recipe("a", "d", (64, 64)), Recipe("a", "d", (128, 128))
    other, plain = Recipe("a", "e", (64, 64)), Recipe("b")
    store = Store(1, [Device("cpu:0", "CPU", slots=4)], (plain, other, large, small))
    store.pool.begin()
    await until(lambda: store.pool.ready() == 4)
    store.used = {"cpu:0": 4}  # so none is made again
    made = {recipe: store.worker_of(recipe) for recipe in (small, large, other, plain)}
    env = {"CUDA_VISIBLE_DEVICES": ""}
    need = Need("a", "d", (64, 64))
    assert store.pool.take(env, need) is made[small]
    assert store.pool.take(env, Need("b", "d", (64, 64))) is made[plain]
    assert store.pool.take(env, need) is made[large]
    assert store.pool.take(env, need) is made[other]
    assert store.pool.take(env, need) is None
    assert [entry["ready"] for entry in store.pool.report()] == [0, 0, 0, 0]
    await store.pool.close()


async def test_one_that_cannot_be_made_keeps_no_other_waiting(monkeypatch: Any) -> None:
    monkeypatch.setattr(warm_pool, "FIRST_PAUSE_S", 60.0)
    bad, good = Recipe("a", "bad"), Recipe("a", "good")
    store = Store(1, [Device("cpu:0", "CPU", slots=2)], (bad, good))
    store.errors = [WorkerError("no such model")]
    store.pool.begin()
    await until(lambda: store.pool.ready(good) == 1)
    report = {entry["workflow"]: entry for entry in store.pool.report()}
    assert (report["bad"]["ready"], report["bad"]["last_error"]) == (0, "no such model")
    assert (report["good"]["ready"], report["good"]["last_error"]) == (1, None)
    await store.pool.close()
