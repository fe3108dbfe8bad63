"""Admission, repeats, races and ends, with scripted workers instead of processes."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from comfytrickle import messages as m
from comfytrickle.errors import (
    Conflict,
    InvalidInput,
    InvalidWorkflow,
    NodeError,
    NotFound,
    Unavailable,
    WorkerError,
)
from comfytrickle.progress import Progress
from comfytrickle.states import ExitCause, Health, State
from control_plane.engines.inspector import Inspector, pause_after
from control_plane.placement.admission import Admission
from control_plane.placement.devices import Device
from control_plane.placement.inventory import Inventory
from control_plane.processes.logfiles import LogDir
from control_plane.processes.worker import Worker
from control_plane.shapes.reports import health, stream_report
from control_plane.shapes.requests import ParamsRequest
from control_plane.streams.policy import RestartLimits
from control_plane.streams.stream import Stream
from control_plane.streams.streams import Streams


class ScriptedWorker:
    """Behaves like a worker handle, by the script of a test."""

    pids = itertools.count(1000)

    def __init__(self, launch: m.Launch, configure: Any = None) -> None:
        self.launch, self.configure = launch, configure
        self.name, self.log_path = launch.name, Path(launch.log_path)
        self.pid = next(self.pids)
        self.state = State.STARTING
        self.status: m.Status | None = None
        self.status_at: float | None = None
        self.ready_at: float | None = None
        self.failures: list[tuple[float, m.Failed]] = []
        self.exit_cause: ExitCause | None = None
        self.exit_code: int | None = None
        self.exit_signal: str | None = None
        self.ended_at: float | None = None
        self.progress: Progress | None = None
        self.owes_sink = False
        self.is_loading = False
        self.start_gate = asyncio.Event()
        self.start_gate.set()
        self.start_error: WorkerError | None = None
        self.ready = asyncio.Event()
        self.exited = asyncio.Event()
        self.stops: list[str] = []
        self.updates: list[m.UpdateParams] = []
        self.updating = self.most_updating = 0
        self.refuse: list[NodeError] | None = None
        self.questions = 0
        self.hang = False

    async def start(self) -> None:
        await self.start_gate.wait()
        if self.start_error is not None:
            self.die(ExitCause.STARTUP_ERROR, 1)
            raise self.start_error
        self.state = State.LOADING

    def become_ready(self) -> None:
        self.state, self.ready_at = State.READY, 1.0
        self.ready.set()

    async def wait_ready(self) -> None:
        waits = [asyncio.ensure_future(e.wait()) for e in (self.ready, self.exited)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self.exited.is_set():
            raise WorkerError("ended before it was ready")

    async def wait_exited(self) -> ExitCause:
        await self.exited.wait()
        assert self.exit_cause is not None
        return self.exit_cause

    async def stop(self, reason: str = "requested") -> ExitCause:
        self.stops.append(reason)
        await asyncio.sleep(0)
        if not self.exited.is_set():
            self.die(ExitCause.REQUESTED, 0)
        return await self.wait_exited()

    def die(self, cause: ExitCause, code: int, signal: str | None = None) -> None:
        self.exit_cause, self.exit_code, self.exit_signal = cause, code, signal
        self.state = State.EXITED
        self.exited.set()

    async def update(self, params: m.UpdateParams) -> m.ParamsApplied | m.ParamsRejected:
        self.updates.append(params)
        self.updating += 1
        self.most_updating = max(self.most_updating, self.updating)
        await asyncio.sleep(0)
        self.updating -= 1
        if self.refuse is not None:
            return m.ParamsRejected(params.revision, "it cannot run", self.refuse)
        return m.ParamsApplied(params.revision)

    async def inspect(self, workflow: dict[str, Any]) -> m.Inspected:
        self.questions += 1
        if self.hang:
            await asyncio.Event().wait()
        if "die" in workflow:
            self.die(ExitCause.SIGNALLED, -11, "SIGSEGV")
            raise WorkerError("died")
        errors = [NodeError("missing_node_type", "no such node", "1")] if "bad" in workflow else []
        return m.Inspected(1, valid=not errors, errors=errors)

    async def describe(self) -> m.Described:
        self.questions += 1
        return m.Described(1, {"LoadTensor": {}})

    def dump_stacks(self) -> None:
        pass

    @property
    def gave_up(self) -> m.Failed | None:
        return (
            self.failures[-1][1] if self.failures and not self.failures[-1][1].retryable else None
        )

    def kill(self) -> None:
        self.die(ExitCause.KILLED_BY_US, -9, "SIGKILL")

    async def end_hung(self, why: str) -> None:
        self.failures.append((time.time(), m.Failed("hung", why, retryable=False)))
        self.die(ExitCause.UNRESPONSIVE, -9, "SIGKILL")


class Bench:
    """A registry over scripted workers."""

    def __init__(self, folder: Path, slots: int = 2, **options: Any) -> None:
        self.workers: list[ScriptedWorker] = []
        self.prepare: Callable[[ScriptedWorker], None] = ScriptedWorker.become_ready
        self.inspectors: list[ScriptedWorker] = []
        self.inspector = Inspector(self._make_inspector, question_timeout_s=5.0)
        self.inventory = Inventory([Device(f"cpu:{n}", "CPU") for n in range(slots)])
        logs = LogDir(folder, keep=10)
        logs.create()
        options.setdefault("limits", RestartLimits(budget=0))
        self.admission = Admission(self.inventory)
        self.streams = Streams(
            self._make, lambda _: self.inspector, self.admission, logs, **options
        )

    def _make(self, launch: m.Launch, wanted: m.StreamConfig, _on: Any) -> Worker:
        worker = ScriptedWorker(launch, m.ConfigureStream(wanted))
        self.workers.append(worker)
        self.prepare(worker)
        return cast(Worker, worker)

    def _make_inspector(self) -> Worker:
        worker = ScriptedWorker(m.Launch("inspector", "/dev/null"))
        worker.become_ready()
        self.inspectors.append(worker)
        return cast(Worker, worker)


@pytest.fixture
async def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    made.inspector.begin()
    yield made
    await made.streams.drain()
    await made.inspector.close()


def workflow(*marks: str) -> dict[str, Any]:
    """A pass-through; a mark is one more node, by which a scripted worker knows what to do."""
    graph: dict[str, Any] = {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "2": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
    }
    return graph | {mark: {"class_type": mark, "inputs": {}} for mark in marks}


def config(stream_id: str = "s", **changes: Any) -> m.StreamConfig:
    base = m.StreamConfig(
        stream_id, workflow(), subscribe_url="http://h/in", publish_url=f"http://h/{stream_id}"
    )
    return msgspec.structs.replace(base, **changes)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def untouched(bench: Bench, slots: int = 2) -> None:
    assert bench.streams.registry.active() == []
    assert bench.inventory.free == slots
    assert all(worker.exited.is_set() for worker in bench.workers)


# --- starting ---------------------------------------------------------------------------------


async def test_start_pins_the_worker_to_its_device(bench: Bench) -> None:
    stream, is_new = await bench.streams.start(config())
    assert is_new and bench.streams.registry.get("s") is stream
    (worker,) = bench.workers
    assert worker.launch.env == {"CUDA_VISIBLE_DEVICES": ""}
    assert worker.configure.config.engine.device == "cpu"
    assert stream_report(stream.facts())["device"] == "cpu:0"


async def test_a_repeat_is_the_same_stream_and_a_change_is_a_conflict(bench: Bench) -> None:
    first, _ = await bench.streams.start(config())
    again, is_new = await bench.streams.start(config())
    assert again is first and not is_new
    with pytest.raises(Conflict):
        await bench.streams.start(config(width=64, height=64))
    assert len(bench.workers) == 1 and bench.inventory.free == 1


async def test_simultaneous_starts_of_one_id_make_one_worker(bench: Bench) -> None:
    results = await asyncio.gather(
        *(bench.streams.start(config()) for _ in range(5)),
        bench.streams.start(config(width=64, height=64)),
        return_exceptions=True,
    )
    assert isinstance(results[5], Conflict)
    news = [is_new for _, is_new in cast(list[tuple[Stream, bool]], results[:5])]
    assert sorted(news) == [False] * 4 + [True]
    assert len(bench.workers) == 1 and bench.inventory.free == 1


async def test_a_bad_workflow_costs_no_slot(bench: Bench) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        await bench.streams.start(config(workflow=workflow("bad")))
    assert caught.value.node_errors()["1"]["errors"][0]["type"] == "missing_node_type"
    assert bench.workers == []
    untouched(bench)
    with pytest.raises(NotFound):
        bench.streams.registry.get("s")


async def test_full_is_said_at_once_and_a_freed_slot_is_used(bench: Bench) -> None:
    for name in "ab":
        await bench.streams.start(config(name))
    with pytest.raises(Unavailable, match="full"):
        await bench.streams.start(config("c"))
    await bench.streams.stop(bench.streams.registry.get("a"))
    stream, _ = await bench.streams.start(config("c"))
    assert stream.device is not None and stream.device.id == "cpu:0"


async def test_a_failed_start_leaves_no_worker_and_no_slot(bench: Bench) -> None:
    def fail(worker: ScriptedWorker) -> None:
        worker.start_error = WorkerError("no Hello")

    bench.prepare = fail
    results = await asyncio.gather(
        bench.streams.start(config()), bench.streams.start(config()), return_exceptions=True
    )
    assert all(isinstance(r, WorkerError) for r in results)
    assert len(bench.workers) == 1
    untouched(bench)
    report = stream_report(bench.streams.registry.get("s").facts())
    assert (report["health"], report["exit_cause"]) == ("failed", "startup_error")
    bench.prepare = ScriptedWorker.become_ready
    _, is_new = await bench.streams.start(config())  # its id is free
    assert is_new


async def test_stop_during_a_start(bench: Bench) -> None:
    bench.prepare = lambda worker: worker.start_gate.clear()
    starting = asyncio.create_task(bench.streams.start(config()))
    await until(lambda: len(bench.workers) == 1)
    await bench.streams.stop(bench.streams.registry.get("s"))
    with pytest.raises(Conflict, match="stopped while it started"):
        await starting
    untouched(bench)


async def test_stop_before_a_start_took_its_first_step(bench: Bench) -> None:
    starting = asyncio.create_task(bench.streams.start(config()))
    await asyncio.sleep(0)  # start has run; the task that it made has not
    await bench.streams.stop(bench.streams.registry.get("s"))
    with pytest.raises(Conflict):
        await starting
    untouched(bench)


async def test_a_caller_that_goes_away_does_not_end_the_start(bench: Bench) -> None:
    bench.prepare = lambda worker: worker.start_gate.clear()
    caller = asyncio.create_task(bench.streams.start(config()))
    await until(lambda: len(bench.workers) == 1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    bench.workers[0].start_gate.set()
    bench.workers[0].become_ready()
    stream, is_new = await bench.streams.start(config())
    assert not is_new and stream.worker is cast(Worker, bench.workers[0])


async def test_an_id_on_its_way_out_can_be_started_again(bench: Bench) -> None:
    old, _ = await bench.streams.start(config())
    stopping = asyncio.create_task(bench.streams.stop(old))
    await asyncio.sleep(0)
    new, is_new = await bench.streams.start(config(width=64, height=64))
    await stopping
    assert is_new and new is not old
    assert bench.streams.registry.get("s") is new
    assert bench.inventory.free == 1


# --- ending -----------------------------------------------------------------------------------


async def test_stop_is_idempotent_and_keeps_the_stream_readable(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    await asyncio.gather(bench.streams.stop(stream), bench.streams.stop(stream))
    await bench.streams.stop(bench.streams.registry.get("s"))
    untouched(bench)
    assert health(stream.facts()) is Health.ENDED


async def test_a_worker_that_dies_frees_its_slot_and_leaves_its_last_words(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    bench.workers[0].log_path.write_text("Fatal Python error\n")
    bench.workers[0].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    await stream.finished.wait()
    untouched(bench)
    report = stream_report(bench.streams.registry.get("s").facts())
    assert (report["running"], report["health"]) == (False, "failed")
    assert report["last_error"]["log_tail"] == "Fatal Python error\n"
    with pytest.raises(Conflict):
        await bench.streams.changes.apply(stream, ParamsRequest(width=64, height=64))


async def test_a_worker_that_never_gets_ready_is_ended(bench: Bench) -> None:
    bench.prepare = lambda worker: None
    stream, _ = await bench.streams.start(config())
    bench.workers[0].die(ExitCause.STARTUP_TIMEOUT, -15, "SIGTERM")
    await stream.finished.wait()
    untouched(bench)
    assert health(stream.facts()) is Health.FAILED


async def test_finished_streams_are_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_finished=2)
    bench.inspector.begin()
    for name in "abc":
        stream, _ = await bench.streams.start(config(name))
        await bench.streams.stop(stream)
    assert [s.id for s in bench.streams.registry.finished()] == ["b", "c"]
    with pytest.raises(NotFound):
        bench.streams.registry.get("a")
    await bench.inspector.close()


async def test_finished_streams_are_forgotten_in_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_finished_s=0.0)
    bench.inspector.begin()
    stream, _ = await bench.streams.start(config())
    await bench.streams.stop(stream)
    with pytest.raises(NotFound):
        bench.streams.registry.get("s")
    await bench.inspector.close()


async def test_drain_stops_all_and_admits_none(bench: Bench) -> None:
    await bench.streams.start(config("a"))
    bench.prepare = lambda worker: worker.start_gate.clear()
    starting = asyncio.create_task(bench.streams.start(config("b")))
    await until(lambda: len(bench.workers) == 2)
    await bench.streams.drain()
    untouched(bench)
    with pytest.raises(Conflict):
        await starting
    with pytest.raises(Unavailable, match="draining"):
        await bench.streams.start(config("c"))


async def test_only(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.streams.registry.only()
    a, _ = await bench.streams.start(config("a"))
    assert bench.streams.registry.only() is a
    await bench.streams.start(config("b"))
    with pytest.raises(Conflict, match="a, b"):
        bench.streams.registry.only()


# --- params -----------------------------------------------------------------------------------


async def test_accepted_params_become_the_configuration(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    change = ParamsRequest(workflow=workflow("new"), max_framerate=5.0)
    assert await bench.streams.changes.apply(stream, change) == 1
    assert await bench.streams.changes.apply(stream, ParamsRequest(width=64, height=32)) == 2
    assert bench.workers[0].updates[1] == m.UpdateParams(2, None, 64, 32, None)
    assert stream.config.workflow == workflow("new") and stream.config.max_framerate == 5.0
    assert (stream.config.width, stream.config.revision) == (64, 2)
    assert (await bench.streams.start(config()))[1] is False  # still a repeat of its start


async def test_what_follows_from_a_failing_node_is_changed_live(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    assert await bench.streams.changes.apply(stream, ParamsRequest(on_error="stop")) == 1
    assert await bench.streams.changes.apply(stream, ParamsRequest(on_error_after=3)) == 2
    first, second = bench.workers[0].updates
    assert (first.on_error, first.on_error_after) == ("stop", None)
    assert (second.on_error, second.on_error_after) == (None, 3)
    assert (stream.config.on_error, stream.config.on_error_after) == ("stop", 3)


async def test_refused_params_leave_the_stream_as_it_was(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    before = stream.config
    with pytest.raises(InvalidWorkflow, match="no such node"):
        await bench.streams.changes.apply(stream, ParamsRequest(workflow=workflow("bad")))
    assert bench.workers[0].updates == []  # the worker was not even asked
    bench.workers[0].refuse = [NodeError("type", "wrong", "3")]
    with pytest.raises(InvalidWorkflow, match="cannot run") as caught:
        await bench.streams.changes.apply(stream, ParamsRequest(workflow=workflow("new")))
    assert "3" in caught.value.node_errors()
    assert stream.config == before
    bench.workers[0].refuse = None
    assert await bench.streams.changes.apply(stream, ParamsRequest(workflow=workflow("new"))) == 2


async def test_simultaneous_updates_keep_their_order(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    sizes = (16, 32, 48)
    revisions = await asyncio.gather(
        *(bench.streams.changes.apply(stream, ParamsRequest(width=s, height=s)) for s in sizes)
    )
    assert revisions == [1, 2, 3]
    assert [u.width for u in bench.workers[0].updates] == list(sizes)
    assert bench.workers[0].most_updating == 1  # the next is sent when the last was answered
    assert (stream.config.width, stream.config.revision) == (48, 3)


async def test_what_is_fixed_may_be_repeated_but_not_changed(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    same = ParamsRequest(drop="latest", encode=m.EncodeConfig())
    assert await bench.streams.changes.apply(stream, same) == 0
    with pytest.raises(InvalidInput) as caught:
        await bench.streams.changes.apply(stream, ParamsRequest(drop="never"))
    assert caught.value.field == "params.drop"


# --- the inspector ----------------------------------------------------------------------------


async def test_a_dead_inspector_is_replaced_and_asked_again(bench: Bench) -> None:
    await until(lambda: bench.inspector.ready)
    assert (await bench.inspector.catalogue()).nodes == {"LoadTensor": {}}
    bench.inspectors[0].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    verdict = await bench.inspector.check({"1": {}})
    assert verdict.valid and len(bench.inspectors) == 2
    await bench.inspector.catalogue()
    assert bench.inspectors[1].questions == 2  # the new one was asked for its own nodes


async def test_a_workflow_that_kills_it_is_refused_after_two_tries(bench: Bench) -> None:
    with pytest.raises(Unavailable, match="died"):
        await bench.inspector.check(workflow("die"))
    assert sum(worker.questions for worker in bench.inspectors) == 2


async def test_one_that_hangs_is_replaced(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.inspector = Inspector(bench._make_inspector, question_timeout_s=0.2)
    bench.inspector.begin()
    await until(lambda: bench.inspector.ready)
    bench.inspectors[0].hang = True
    with pytest.raises(Unavailable, match=r"longer than 0\.2 s"):
        await bench.inspector.check({"1": {}})
    assert bench.inspectors[0].exited.is_set()
    await until(lambda: len(bench.inspectors) == 2 and bench.inspector.ready)
    await bench.inspector.close()
    assert bench.inspectors[1].exited.is_set()


def test_pauses_grow_to_a_limit() -> None:
    pauses = [pause_after(n) for n in range(40)]
    assert pauses[0] == 0.5 and pauses[1] == 1.0 and max(pauses) == pauses[-1] == 30.0
    assert pauses == sorted(pauses)
