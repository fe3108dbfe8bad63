"""A stream goes on when its worker dies; with scripted workers instead of processes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from comfytrickle import messages as m
from comfytrickle.errors import Conflict, Quarantined
from comfytrickle.progress import Progress
from comfytrickle.states import ExitCause, Health, State
from control_plane.shapes.reports import health, stream_report
from control_plane.shapes.requests import ParamsRequest
from control_plane.streams.policy import RestartLimits
from control_plane.streams.watchdog import Deadlines
from tests.unit.test_control_streams import Bench, config, until, workflow


@pytest.fixture
async def bench(tmp_path: Path) -> Any:
    limits = RestartLimits(budget=2, forgive_s=1000, first_pause_s=0.01, longest_pause_s=0.01)
    made = Bench(tmp_path, limits=limits, deadlines=Deadlines(silent=1.0))
    made.inspector.begin()
    yield made
    await made.streams.drain()
    await made.inspector.close()


def report(bench: Bench, worker: int, **counters: Any) -> None:
    """A Status of that worker, as its handle would keep it."""
    bench.workers[worker].status = m.Status(
        seq=1, state=State.STREAMING, counters=m.Counters(**counters)
    )
    bench.workers[worker].status_at = time.monotonic()


async def test_a_dead_worker_is_replaced_with_the_last_params_from_where_it_was(
    bench: Bench,
) -> None:
    stream, _ = await bench.streams.start(config())
    change = ParamsRequest(workflow=workflow("new"), max_framerate=5.0)
    revision = await bench.streams.changes.apply(stream, change)
    report(bench, 0, frames_in=50, frames_out=40, dropped={"latest": 8})
    bench.workers[0].progress = Progress(7, source_pts=90, pts=190, audio_pts=80, frames_out=41)
    bench.workers[0].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    await until(lambda: len(bench.workers) == 2 and stream.serving.is_set())
    new = bench.workers[1].configure.config
    assert new.workflow == change.workflow and new.revision == revision
    assert new.max_framerate == 5.0
    assert new.resume and new.resume_at == m.ResumePoint(7, 90, 190, 80)
    assert bench.workers[1].launch == bench.workers[0].launch  # same device, same log
    assert bench.inventory.free == 1
    facts = stream_report(stream.facts())
    assert facts["running"] and facts["restarts"] == 1
    # In flight were 50 - 41 - 8: the new worker reads those again, so they are not counted twice.
    frames = facts["frames"]
    assert (frames["in"], frames["out"], frames["dropped"]) == (49, 41, {"latest": 8})
    assert facts["deaths"][0]["signal"] == "SIGKILL"
    assert facts["last_error"]["kind"] == "worker" and "SIGKILL" in facts["last_error"]["message"]
    report(bench, 1, frames_in=10, frames_out=9, dropped={"error": 1})
    frames = stream_report(stream.facts())["frames"]
    assert (frames["in"], frames["out"]) == (59, 50)
    assert frames["dropped"] == {"latest": 8, "error": 1}


async def test_pictures_that_kill_one_worker_after_the_other_are_left_out(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    bench.workers[0].progress = Progress(7, source_pts=90, pts=190, audio_pts=80, frames_out=41)
    for n in range(2):
        await until(lambda n=n: len(bench.workers) == n + 1 and stream.serving.is_set())
        bench.workers[n].die(ExitCause.SIGNALLED, -11, "SIGSEGV")
    await until(lambda: len(bench.workers) == 3)
    points = [worker.configure.config.resume_at for worker in bench.workers[1:]]
    assert points == [m.ResumePoint(7, 90, 190, 80), m.ResumePoint(8, 90, 190, 80)]


async def test_a_log_that_cannot_be_read_is_not_the_streams_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr("control_plane.processes.logfiles.keep_last_words", full)
    stream, _ = await bench.streams.start(config())
    bench.workers[0].die(ExitCause.NONZERO, 3)
    await until(lambda: len(bench.workers) == 2 and stream.serving.is_set())
    assert stream.deaths[0].log_tail is None and stream.deaths[0].exit_code == 3


async def test_before_its_first_frame_there_is_nothing_to_resume(bench: Bench) -> None:
    await bench.streams.start(config())
    bench.workers[0].die(ExitCause.NONZERO, 3)
    await until(lambda: len(bench.workers) == 2)
    new = bench.workers[1].configure.config
    assert new.resume and new.resume_at is None


async def test_the_budget_ends_and_the_workflow_is_quarantined(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config(workflow=workflow("crash")))
    for n in range(3):
        await until(lambda n=n: len(bench.workers) == n + 1 and stream.serving.is_set())
        bench.workers[n].die(ExitCause.SIGNALLED, -11, "SIGSEGV")
    await asyncio.wait_for(stream.finished.wait(), 10)
    assert len(bench.workers) == 3 and bench.inventory.free == 2
    assert health(stream.facts()) is Health.FAILED
    with pytest.raises(Quarantined, match="SIGSEGV") as refused:
        await bench.streams.start(config("again", workflow=workflow("crash")))
    assert len(refused.value.story["deaths"]) == 3
    assert refused.value.story["node_types"] == ["LoadTensor", "SaveTensor", "crash"]
    other, _ = await bench.streams.start(config("other"))  # other workflows start
    with pytest.raises(Quarantined):
        await bench.streams.changes.apply(other, ParamsRequest(workflow=workflow("crash")))
    assert bench.streams.quarantine.release(refused.value.story["digest"])
    await bench.streams.start(config("again", workflow=workflow("crash")))


@pytest.mark.parametrize("kind", ["source", "sink", "workflow"])
async def test_what_a_new_worker_would_meet_again_ends_the_stream(bench: Bench, kind: str) -> None:
    stream, _ = await bench.streams.start(config())
    bench.workers[0].failures.append((1.0, m.Failed(kind, "no good", retryable=False)))
    bench.workers[0].die(ExitCause.NONZERO, 1)
    await asyncio.wait_for(stream.finished.wait(), 10)
    assert len(bench.workers) == 1
    assert stream_report(stream.facts())["last_error"]["message"] == "no good"
    assert bench.streams.quarantine.all_held() == []


async def test_a_node_that_has_ended_its_worker_is_named(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    failed = m.Failed("node", "no", "7", "Bad", retryable=False)
    bench.workers[0].failures.append((1.0, failed))
    bench.workers[0].die(ExitCause.NONZERO, 1)
    await until(lambda: len(bench.workers) == 2 and stream.serving.is_set())
    report = stream_report(stream.facts())
    assert (report["restarts"], report["running"]) == (1, True)
    for told in (report["last_error"], report["deaths"][0]):
        assert (told["node_id"], told["node_type"], told["message"]) == ("7", "Bad", "no")
    final = m.Failed("node", "never", "8", "Worse", retryable=False, final=True)
    bench.workers[1].failures.append((2.0, final))
    bench.workers[1].die(ExitCause.NONZERO, 1)
    await asyncio.wait_for(stream.finished.wait(), 10)
    report = stream_report(stream.facts())
    assert len(bench.workers) == 2 and report["health"] == "failed"
    assert (report["last_error"]["node_id"], report["restarts"]) == ("8", 1)


async def test_a_hung_worker_is_ended_and_replaced(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    report(bench, 0, frames_in=5, frames_out=5)  # and never again
    await until(lambda: len(bench.workers) == 2)
    assert bench.workers[0].exit_cause is ExitCause.UNRESPONSIVE
    report(bench, 1)
    facts = stream_report(stream.facts())
    assert facts["last_error"]["kind"] == "hung"
    assert "no status" in facts["last_error"]["message"]


async def test_a_stop_while_the_next_worker_starts(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    gate = asyncio.Event()
    bench.prepare = lambda worker: setattr(worker, "start_gate", gate)
    bench.workers[0].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    await until(lambda: len(bench.workers) == 2)
    assert health(stream.facts()) is Health.RESTARTING
    stopping = asyncio.create_task(bench.streams.stop(stream))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.wait_for(stopping, 10)
    assert bench.inventory.free == 2 and len(bench.workers) == 2
    assert health(stream.facts()) is Health.ENDED


async def test_a_stop_during_the_pause_before_a_restart(tmp_path: Path) -> None:
    limits = RestartLimits(budget=9, first_pause_s=60, longest_pause_s=60)
    bench = Bench(tmp_path, limits=limits)
    bench.inspector.begin()
    stream, _ = await bench.streams.start(config())
    for n in range(2):
        await until(lambda n=n: len(bench.workers) == n + 1 and stream.serving.is_set())
        bench.workers[n].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    await until(lambda: len(stream.deaths) == 2)
    await asyncio.wait_for(bench.streams.stop(stream), 10)
    assert len(bench.workers) == 2 and bench.inventory.free == 2
    with pytest.raises(Conflict):
        await bench.streams.changes.apply(stream, ParamsRequest(max_framerate=1.0))
    await bench.inspector.close()


async def test_params_wait_for_the_next_worker(bench: Bench) -> None:
    stream, _ = await bench.streams.start(config())
    gate = asyncio.Event()

    def slow(worker: Any) -> None:
        worker.start_gate = gate
        worker.become_ready()

    bench.prepare = slow
    bench.workers[0].die(ExitCause.SIGNALLED, -9, "SIGKILL")
    await until(lambda: not stream.serving.is_set())
    updating = asyncio.create_task(
        bench.streams.changes.apply(stream, ParamsRequest(max_framerate=1.0))
    )
    await until(lambda: len(bench.workers) == 2)
    gate.set()
    assert await asyncio.wait_for(updating, 10) == 1
    assert [u.max_framerate for u in bench.workers[1].updates] == [1.0]
    assert bench.workers[0].updates == []
