"""The order in which a start is checked: what is refused before the inspector is asked, what is
asked only once, and what costs no slot."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from comfytrickle import messages as m
from comfytrickle.errors import Conflict, InvalidWorkflow, Unavailable
from comfytrickle.states import ExitCause, State
from control_plane.placement.admission import Admission
from control_plane.placement.devices import Device
from control_plane.streams.policy import RestartLimits
from control_plane.streams.stream import Stream
from tests.unit.test_control_streams import Bench, ScriptedWorker, config, until, workflow


@pytest.fixture
async def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    made.inspector.begin()
    await until(lambda: made.inspector.ready)
    yield made
    await made.streams.drain()
    await made.inspector.close()


def asked(bench: Bench) -> int:
    return sum(worker.questions for worker in bench.inspectors)


async def test_a_full_pool_refuses_before_the_inspector_is_asked(bench: Bench) -> None:
    for name in "ab":
        await bench.streams.start(config(name))
    before = asked(bench)
    with pytest.raises(Unavailable, match="full: all 2 slots are taken") as refused:
        await bench.streams.start(config("c", workflow=workflow("bad")))
    assert asked(bench) == before and refused.value.retry_after > 0
    # What is not a matter of slots comes first.
    assert (await bench.streams.start(config("a")))[1] is False
    with pytest.raises(Conflict):
        await bench.streams.start(config("a", width=64, height=64))


async def test_the_same_question_is_asked_once_and_a_refused_workflow_takes_no_slot(
    bench: Bench,
) -> None:
    results = await asyncio.gather(
        *(bench.streams.start(config(f"bad{n}", workflow=workflow("bad"))) for n in range(20)),
        *(bench.streams.start(config(f"good{n}")) for n in range(20)),
        return_exceptions=True,
    )
    assert all(isinstance(r, InvalidWorkflow) for r in results[:20])
    good = [r for r in results[20:] if isinstance(r, tuple)]
    assert len(good) == 2 and sum(isinstance(r, Unavailable) for r in results[20:]) == 18
    assert asked(bench) == 2  # one for each workflow
    assert len(bench.workers) == 2 and bench.inventory.free == 0


async def test_a_failed_question_is_not_shared_with_later_callers(bench: Bench) -> None:
    results = await asyncio.gather(
        *(bench.inspector.check(workflow("die")) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(r, Unavailable) for r in results)
    assert asked(bench) == 2  # it is tried twice, not ten times
    with pytest.raises(Unavailable):
        await bench.inspector.check(workflow("die"))
    assert asked(bench) == 4


async def test_a_caller_who_goes_does_not_take_the_answer_along(bench: Bench) -> None:
    bench.inspectors[0].hang = True
    callers = [asyncio.create_task(bench.inspector.check(workflow())) for _ in range(3)]
    await until(lambda: asked(bench) == 1)
    callers[0].cancel()
    await asyncio.wait({callers[0]})
    bench.inspectors[0].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    assert not callers[1].done()
    await bench.inspector.close()
    for caller in callers[1:]:
        with pytest.raises(Unavailable, match="has ended"):
            await caller


async def test_starts_wait_in_the_queue_and_are_told_when_it_shuts_down(tmp_path: Path) -> None:
    bench = Bench(tmp_path, slots=1)
    bench.streams._admission = admission = Admission(bench.inventory, queue_s=60)
    bench.inspector.begin()
    first, _ = await bench.streams.start(config("a"))
    starts = [asyncio.create_task(bench.streams.start(config(name))) for name in "bcd"]
    await until(lambda: admission.waiting == 3)
    await bench.streams.stop(first)
    assert (await starts[0])[0].id == "b"
    # One that is stopped in the queue.
    await bench.streams.stop(bench.streams.registry.get("c"))
    with pytest.raises(Conflict, match="stopped while it started"):
        await starts[1]
    await bench.streams.drain()
    with pytest.raises(Unavailable, match="draining"):
        await starts[2]
    assert bench.inventory.free == 1 and admission.waiting == 0
    assert [worker.launch.name for worker in bench.workers] == ["a", "b"]
    await bench.inspector.close()


async def test_a_worker_is_measured_and_limited(tmp_path: Path) -> None:
    bench = Bench(tmp_path, worker_memory=300_000_000)
    bench.inspector.begin()
    heard = []

    def make(launch: m.Launch, given: m.StreamConfig, on_message: Any) -> Any:
        heard.append(on_message)
        worker = ScriptedWorker(launch)
        worker.become_ready()
        bench.workers.append(worker)
        return worker

    bench.streams._make_worker = make
    stream, _ = await bench.streams.start(config(width=64, height=48))
    assert bench.workers[0].launch.memory_limit == 300_000_000
    counters = m.Counters(frames_out=1)
    heard[0](m.Status(seq=1, state=State.STREAMING, rss=70_000_000, counters=counters))
    digest_of = bench.admission._needs._seen
    assert [*digest_of.values()] == [{(64, 48): 70_000_000}]
    await bench.streams.stop(stream)
    await bench.inspector.close()


class MovingAdmission(Admission):
    """Finds the first device unfit for a second worker."""

    async def next_device(self, stream_id: str, worker: Any) -> Device:
        self._inventory.condition(self._inventory.devices[0]).unhealthy = "x"
        return self._inventory.move(stream_id)


async def test_the_next_worker_is_pinned_to_the_device_that_was_found(tmp_path: Path) -> None:
    limits = RestartLimits(budget=2, first_pause_s=0.01, longest_pause_s=0.01)
    bench = Bench(tmp_path, limits=limits)
    gpus = [Device(f"GPU-{n}", "g", 1, 10, "cuda:0") for n in range(2)]
    bench.inventory.fill(gpus)
    bench.streams._admission = MovingAdmission(bench.inventory)
    bench.inspector.begin()
    stream, _ = await bench.streams.start(config())
    bench.workers[0].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    await until(lambda: len(bench.workers) == 2)
    pins = [worker.launch.env["CUDA_VISIBLE_DEVICES"] for worker in bench.workers]
    assert pins == ["GPU-0", "GPU-1"]
    assert cast(Stream, stream).device == gpus[1] and bench.inventory.used() == {"GPU-1": 1}
    assert bench.workers[1].launch.memory_limit is None
    await bench.streams.stop(stream)
    await bench.inspector.close()
