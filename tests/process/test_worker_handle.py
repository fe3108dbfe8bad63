"""The worker handle against real processes: it starts them, talks to them, and ends them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfytrickle import messages as m
from comfytrickle.errors import WorkerError
from comfytrickle.states import ExitCause, State
from control_plane.processes.budgets import Budgets
from control_plane.processes.launcher import Launcher
from control_plane.processes.worker import Worker

INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}


@pytest.fixture
async def launcher() -> AsyncIterator[Launcher]:
    launcher = Launcher()
    await launcher.boot()
    yield launcher
    await launcher.close()


def inspector(launcher: Launcher, folder: Path, **budgets: float) -> Worker:
    launch = m.Launch(name="inspector", log_path=str(folder / "inspector.log"))
    configure = m.ConfigureInspector(engine=m.EngineConfig())
    return Worker(launcher, launch, configure, budgets=Budgets(**budgets))


async def test_an_inspector_lives_answers_and_ends(launcher: Launcher, tmp_path: Path) -> None:
    worker = inspector(launcher, tmp_path)
    await worker.start()
    await worker.wait_ready()
    assert worker.state is State.READY
    assert worker.pid is not None and os.getpgid(worker.pid) == worker.pid  # a group of its own
    good = await worker.inspect(INVERT)
    assert good.valid and good.errors == []
    bad = await worker.inspect({**INVERT, "2": {"class_type": "ImageInvrt", "inputs": {}}})
    assert not bad.valid
    assert [e.node_id for e in bad.errors] == ["2"]
    nodes = (await worker.describe()).nodes
    assert {"LoadTensor", "SaveTensor", "ImageScale"} <= set(nodes)
    assert await worker.stop() is ExitCause.REQUESTED
    assert (worker.state, worker.exit_code) == (State.EXITED, 0)
    assert await worker.stop() is ExitCause.REQUESTED  # again is harmless
    with pytest.raises(WorkerError):
        await worker.inspect(INVERT)


async def test_a_killed_worker_is_seen_and_its_caller_told(
    launcher: Launcher, tmp_path: Path
) -> None:
    worker = inspector(launcher, tmp_path)
    await worker.start()
    await worker.wait_ready()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)  # it cannot answer
    question = asyncio.create_task(worker.inspect(INVERT))
    await asyncio.sleep(0)  # the question is on its way
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="SIGKILL"):
        await question
    assert await worker.wait_exited() is ExitCause.SIGNALLED
    assert worker.exit_signal == "SIGKILL"


async def test_a_worker_that_does_not_drain_is_killed_in_its_budget(
    launcher: Launcher, tmp_path: Path
) -> None:
    worker = inspector(launcher, tmp_path, drain=0.2, terminate=0.2)
    await worker.start()
    await worker.wait_ready()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)  # neither Drain nor SIGTERM has an effect now
    assert await asyncio.wait_for(worker.stop(), 10) is ExitCause.KILLED_BY_US
    assert worker.exit_signal == "SIGKILL"


async def test_a_worker_outlives_the_fork_server(launcher: Launcher, tmp_path: Path) -> None:
    from multiprocess import forkserver

    worker = inspector(launcher, tmp_path)
    await worker.start()
    await worker.wait_ready()
    server = forkserver._forkserver._forkserver_pid
    os.kill(server, signal.SIGKILL)
    assert (await worker.inspect(INVERT)).valid  # nothing happened to it
    again = inspector(launcher, tmp_path)  # a new fork server is started for this one
    await again.start()
    await again.wait_ready()
    assert (await again.inspect(INVERT)).valid
    assert await again.stop() is ExitCause.REQUESTED
    # Its exit code died with the old fork server, but not what it said.
    assert await worker.stop() is ExitCause.REQUESTED
    assert (worker.state, worker.exit_code) == (State.EXITED, None)


async def test_a_log_that_cannot_be_written_is_a_startup_error(
    launcher: Launcher, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    launch = m.Launch(name="x", log_path=str(tmp_path / "file" / "x.log"))
    worker = Worker(launcher, launch, m.ConfigureInspector(engine=m.EngineConfig()))
    with pytest.raises(WorkerError, match="did not say Hello"):
        await worker.start()
    assert worker.state is State.EXITED
    assert worker.exit_cause is ExitCause.STARTUP_ERROR


async def test_a_stop_during_the_start_leaves_no_process(
    launcher: Launcher, tmp_path: Path
) -> None:
    worker = inspector(launcher, tmp_path)
    starting = asyncio.create_task(worker.start())
    await asyncio.sleep(0)  # the launch is on its way
    stopping = asyncio.create_task(worker.stop())
    with pytest.raises(WorkerError, match="stopped"):
        await asyncio.wait_for(starting, 20)
    assert await asyncio.wait_for(stopping, 20) is ExitCause.KILLED_BY_US
    assert worker.state is State.EXITED


async def test_a_sink_that_cannot_be_reached_does_not_hold_up_a_stop(
    launcher: Launcher, tmp_path: Path
) -> None:
    config = m.StreamConfig(
        stream_id="s",
        workflow=INVERT,
        subscribe_url="http://127.0.0.1:1/in",
        publish_url="http://127.0.0.1:1/out",
    )
    launch = m.Launch(name="s", log_path=str(tmp_path / "s.log"))
    worker = Worker(launcher, launch, m.ConfigureStream(config=config), budgets=Budgets(drain=1.0))
    await worker.start()
    await worker.wait_ready()
    assert await asyncio.wait_for(worker.stop(), 20) is ExitCause.REQUESTED
    assert worker.exit_code == 0


async def test_a_warm_worker_becomes_a_streams(launcher: Launcher, tmp_path: Path) -> None:
    warm = m.ConfigureWarm(engine=m.EngineConfig(), workflow=INVERT, width=64, height=64)
    launch = m.Launch(name="warm-1", log_path=str(tmp_path / "warm-1.log"))
    worker = Worker(launcher, launch, warm)
    await worker.warm_up()
    assert worker.state is State.LOADING and worker.pid is not None
    pid = worker.pid
    config = m.StreamConfig(
        stream_id="s",
        workflow=INVERT,
        subscribe_url="http://127.0.0.1:1/in",
        publish_url="http://127.0.0.1:1/out",
    )
    heard: list[m.ToParent] = []
    worker.assign(m.Launch(name="s", log_path=str(tmp_path / "s.log")), config, heard.append)
    await worker.start()
    await worker.wait_ready()
    assert (worker.pid, worker.name) == (pid, "s")
    assert any(isinstance(message, m.Ready) for message in heard)
    assert await worker.stop() is ExitCause.REQUESTED
    log = (tmp_path / "s.log").read_text()
    assert f"[s] pid={pid}" in log and "ready after" in log
    assert "ready after" not in (tmp_path / "warm-1.log").read_text()


async def test_a_warm_worker_that_is_not_needed_ends(launcher: Launcher, tmp_path: Path) -> None:
    warm = m.ConfigureWarm(engine=m.EngineConfig())
    worker = Worker(launcher, m.Launch(name="w", log_path=str(tmp_path / "w.log")), warm)
    await worker.warm_up()
    assert await asyncio.wait_for(worker.stop(), 10) is ExitCause.REQUESTED
    assert worker.exit_code == 0


async def test_a_warm_worker_that_cannot_load_says_why(launcher: Launcher, tmp_path: Path) -> None:
    graph = {**INVERT, "2": {"class_type": "NoSuchNode", "inputs": {"image": ["1", 0]}}}
    warm = m.ConfigureWarm(engine=m.EngineConfig(), workflow=graph)
    worker = Worker(launcher, m.Launch(name="w", log_path=str(tmp_path / "w.log")), warm)
    with pytest.raises(WorkerError, match="NoSuchNode"):
        await worker.warm_up()
    assert worker.state is State.EXITED
