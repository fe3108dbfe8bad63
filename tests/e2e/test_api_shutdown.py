"""The end of the control plane with live streams: asked to, and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from pathlib import Path

import psutil

from tests.support.channel import until
from tests.support.live import Api, Live, consecutive
from tests.support.pool import running_pool


def lives(pid: int) -> bool:
    """False also for one that is dead and not yet reaped (by whoever adopted it)."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_sigterm_drains_live_streams(live: Live, tmp_path: Path) -> None:
    with running_pool(tmp_path, "--devices", "cpu:2") as pool:
        api = Api(pool)
        async with live.viewer("a") as a, live.viewer("b") as b, live.source("in"):
            for name in "ab":
                await api.start(name, live.url("in"), live.url(name))
            for name in "ab":
                await api.wait(name, lambda s: (s["frame_count"] or 0) > 15)
            family = pool.children()
            follow = pool.url + "/stream/a/logs?follow=1"
            reader = await asyncio.to_thread(urllib.request.urlopen, follow, timeout=30)
            assert await asyncio.to_thread(reader.readline)
            pool.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(pool.process.wait, 30) == 0
            for viewer in (a, b):
                await viewer.finished()  # the sink channels were ended, not abandoned
                consecutive(await asyncio.to_thread(viewer.counters))
            assert not await live.has_channel("a") and not await live.has_channel("b")
            _, alive = await asyncio.to_thread(psutil.wait_procs, family, 5)
            assert alive == []
            with reader:  # was told the end, and did not hold anything up
                assert b"draining" in await asyncio.to_thread(reader.read)
        log = pool.log.read_text()
        assert "stream a ended: requested" in log and "stream b ended: requested" in log
        assert "Traceback" not in log and " ERROR " not in log


async def test_nothing_outlives_a_killed_control_plane(live: Live, tmp_path: Path) -> None:
    with running_pool(tmp_path, "--devices", "cpu:2") as pool:
        api = Api(pool)
        async with live.source("in"):
            for name in "ab":
                await api.start(name, live.url("in"), live.url(name))
            for name in "ab":
                await api.wait(name, lambda s: (s["frame_count"] or 0) > 5)
            workers = [(await api.status(name))["pid"] for name in "ab"]
            family = {process.pid for process in pool.children()}
            assert len(family) >= 4 and family.issuperset(workers)  # + fork server, inspector
            os.kill(pool.process.pid, signal.SIGKILL)
            killed = time.monotonic()
            while any(lives(pid) for pid in workers):
                assert time.monotonic() < killed + 1.0
                await asyncio.sleep(0.01)
            await until(lambda: not any(lives(pid) for pid in family), "the end of all processes")
            pool.process.wait(10)
