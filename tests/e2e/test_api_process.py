"""The control plane process itself: light, and quick to answer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import leaks
from tests.support.channel import until
from tests.support.live import Api, Live
from tests.support.pool import ROOT, Pool, free_port, running_pool

HEAVY = ("torch", "av", "numpy")
LIBRARIES = ("libtorch", "libc10", "libav", "libsw", "_multiarray_umath", "_core.cpython-numpy")
IMPORT_ALL = """
import importlib, pkgutil, sys
import control_plane
for module in pkgutil.iter_modules(control_plane.__path__):
    importlib.import_module("control_plane." + module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


def test_no_module_of_it_imports_what_is_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    imported = done.stdout.split()
    assert "aiohttp" in imported and "control_plane" in imported
    assert [name for name in HEAVY if name in imported] == []


async def test_it_stays_light_while_it_works(api: Api, live: Live) -> None:
    process = psutil.Process(api.pool.process.pid)
    async with live.source("in"):
        held = []
        for turn in range(4):
            name = f"turn-{turn}"
            await api.start(name, live.url("in"), live.url(name))
            await api.wait(name, lambda s: (s["frame_count"] or 0) > 5)
            await api.get("/nodes")
            await api.get("/streams?all=1")
            await api.post(f"/stream/{name}/stop?wait=30")
            held.append(process.num_fds())
    # Every stream gives back what it took (a connection of ours may just be closing).
    await until(lambda: process.num_fds() <= held[0], f"no more descriptors than {held}")
    mapped = {Path(m.path).name for m in process.memory_maps()}
    assert any("libpython" in n or n.startswith("python") for n in mapped)  # it can be seen
    assert [name for name in mapped if name.startswith(LIBRARIES)] == []
    assert process.memory_info().rss < 60e6


def seconds_to_health(folder: Path) -> tuple[float, float]:
    """From exec to the first answer of /health: wall time, and what the process computed."""
    port = free_port()
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "control_plane", "--port", str(port), "--devices", "cpu:1",
         "--log-dir", str(folder)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    leaks.shared.add(process.pid)
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as reply:
                    wall = time.monotonic() - begun
                    times = psutil.Process(process.pid).cpu_times()
                    assert reply.status == 200
                    return wall, times.user + times.system
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None and time.monotonic() < begun + 30
                time.sleep(0.005)
    finally:
        process.terminate()
        assert process.wait(30) == 0
        leaks.shared.discard(process.pid)


def test_health_answers_before_anything_is_loaded(tmp_path: Path) -> None:
    """Within 0.5 s of exec. Where the machine never lets it, what it computes counts (loading
    torch and av alone takes seconds of that)."""
    took = [seconds_to_health(tmp_path)]
    while len(took) < 4 and min(wall for wall, _ in took) >= 0.5:
        took.append(seconds_to_health(tmp_path))
    busy = os.getloadavg()[0] > len(os.sched_getaffinity(0))
    assert min(cpu if busy else wall for wall, cpu in took) < 0.5, took
