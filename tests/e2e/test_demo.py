"""`comfytrickle demo` as a user runs it: the whole path, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import clips

DEADLINE_S = 90.0
SMALL = ("--size", "192x128", "--fps", "15")


@asynccontextmanager
async def demo(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "comfytrickle.cli.main", "demo", *SMALL, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    family = [psutil.Process(process.pid)]
    try:
        yield process
    finally:
        family += psutil.Process(process.pid).children(recursive=True) if alive(process) else []
        if process.returncode is None:
            process.kill()
        await process.communicate()
        for left in family:
            if left.is_running():
                left.kill()


def alive(process: asyncio.subprocess.Process) -> bool:
    return process.returncode is None and psutil.pid_exists(process.pid)


async def end(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def line(process: asyncio.subprocess.Process, part: str) -> str:
    assert process.stderr is not None
    while True:
        text = (await asyncio.wait_for(process.stderr.readline(), DEADLINE_S)).decode()
        assert text, f"it ended before it said {part!r}"
        if part in text:
            return text


def check(report: dict[str, Any], status: int) -> None:
    """On a busy machine the worker may have no time for a frame and says so; nothing else."""
    dropped = sum(report["dropped"].values())
    assert report["lost"] == dropped, report
    assert (status == 0) == report["ok"] == (dropped == 0), report
    for fault in ("duplicated", "out_of_order", "unreadable", "wrong_pts", "damaged"):
        assert report[fault] == 0, report
    assert report["frames_in"] == report["frames_out"] + report["lost"]
    assert report["pictures"]["checked"] > 0
    assert report["pictures"]["wrong"] == 0
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]


async def test_every_frame_comes_back_inverted(tmp_path: Path) -> None:
    out = tmp_path / "out.ts"
    async with demo("--seconds", "2", "--json", "--out", str(out)) as process:
        status, stdout, stderr = await end(process)
    assert status in (0, 1), stderr
    report = json.loads(stdout.splitlines()[-1])
    check(report, status)
    assert report["frames_in"] == 30
    assert report["workflow"] == "invert"
    assert len(clips.read_counters(out.read_bytes())) == report["frames_out"]
    assert "result " in stderr


async def test_ctrl_c_ends_it_in_order_and_leaves_nothing() -> None:
    async with demo("--json") as process:
        await line(process, "fps")
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("control_plane" in " ".join(child.cmdline()) for child in children)
        process.send_signal(signal.SIGINT)
        status, stdout, stderr = await end(process)
        report = json.loads(stdout.splitlines()[-1])
        check(report, status)
        assert "Traceback" not in stderr
        assert gone(children) == []


async def test_a_demo_that_is_killed_leaves_nothing() -> None:
    async with demo("--json") as process:
        await line(process, "fps")
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 3  # server, control plane, fork server
        process.kill()
        await process.wait()
        assert gone(children, DEADLINE_S) == []


def gone(processes: list[psutil.Process], within_s: float = 1.0) -> list[psutil.Process]:
    """Those still alive after ``within_s``, ended now."""
    _, left = psutil.wait_procs(processes, timeout=within_s)
    for process in left:
        process.kill()
    return [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        ("[1, 2]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"1": {"class_type": "LoadTensor", "inputs": {}}}', "no SaveTensor"),
    ],
)
async def test_a_workflow_that_cannot_run(tmp_path: Path, workflow: str, message: str) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(workflow)
    async with demo("--seconds", "1", "--workflow", str(path)) as process:
        status, _, stderr = await end(process)
    assert status == 1
    assert message in stderr and "Traceback" not in stderr


async def test_a_workflow_that_changes_nothing_is_reported_as_such(tmp_path: Path) -> None:
    graph = {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "2": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
    }
    path = tmp_path / "same.json"
    path.write_text(json.dumps(graph))
    start = time.monotonic()
    async with demo("--seconds", "1", "--workflow", str(path), "--json") as process:
        status, stdout, stderr = await end(process)
    assert status in (0, 1), stderr
    report = json.loads(stdout.splitlines()[-1])
    assert report["changed"] is False
    assert report["workflow"] == "same.json"
    assert time.monotonic() - start < DEADLINE_S
