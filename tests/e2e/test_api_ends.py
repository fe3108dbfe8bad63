"""How streams end for those around them: who waits for the answer, and who for the sink channel."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psutil
import pytest

from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    with running_pool(folder, "--devices", "cpu:2", "--restart-budget", "1") as pool:
        yield pool


FLIPPED = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {
        "class_type": "ImageFlip",
        "inputs": {"image": ["1", 0], "flip_method": "x-axis: vertically"},
    },
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}


def flowing(status: dict[str, Any]) -> bool:
    return bool(status["running"] and status["frame_count"])


async def until(holds: Callable[[], Awaitable[bool]], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not await holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_sink_channel_of_somebody_else_is_left_to_them(api: Api, live: Live) -> None:
    async with live.session.post(live.url("theirs")) as reply:
        assert reply.status == 200
    async with live.source("in"):
        await api.start("guest", live.url("in"), live.url("theirs"))
        await api.wait("guest", flowing)
        assert (await api.post("/stream/guest/stop?wait=30"))[1]["message"] == "stream stopped"
    assert await live.has_channel("theirs")


async def test_the_sink_channel_stays_the_streams_own_over_a_restart(api: Api, live: Live) -> None:
    async with live.source("in"):
        pid = (await api.start("own", live.url("in"), live.url("own")))["pid"]
        await api.wait("own", flowing)
        os.kill(pid, signal.SIGKILL)
        await api.wait("own", lambda s: s["restarts"] == 1 and s["pid"] != pid and flowing(s))
        assert await live.has_channel("own")
        assert (await api.post("/stream/own/stop?wait=30"))[1]["message"] == "stream stopped"
    assert not await live.has_channel("own")


async def test_a_stream_that_fails_for_good_leaves_nobody_waiting(api: Api, live: Live) -> None:
    """No worker is left to end the channel that it had made: the control plane does it."""
    async with live.source("in"), live.viewer("doomed") as viewer:
        # A workflow of its own: what always kills its worker is quarantined.
        urls = live.url("in"), live.url("doomed")
        pid = (await api.start("doomed", *urls, prompt=FLIPPED))["pid"]
        await api.wait("doomed", flowing)
        os.kill(pid, signal.SIGKILL)
        again = await api.wait(
            "doomed", lambda s: s["restarts"] == 1 and s["pid"] not in (pid, None)
        )
        os.kill(again["pid"], signal.SIGKILL)
        ended = await api.wait("doomed", lambda s: not s["running"])
        assert ended["health"] == "failed"
        await viewer.finished()
        await until(lambda: absent(live, "doomed"))


async def absent(live: Live, name: str) -> bool:
    return not await live.has_channel(name)


async def test_the_stop_of_a_stuck_worker_is_answered_soon(api: Api, live: Live) -> None:
    async def free() -> int:
        slots: dict[str, int] = (await api.get("/health"))[1]["slots"]
        return slots["free"]

    async with live.source("in"):
        pid = (await api.start("stuck", live.url("in"), live.url("stuck")))["pid"]
        await api.wait("stuck", flowing)
        os.kill(pid, signal.SIGSTOP)
        asked = time.monotonic()
        status, said = await api.post("/stream/stuck/stop")
        assert time.monotonic() - asked < 4.5  # the budget of its drain alone is 5 s
        assert (status, said["message"], said["state"]) == (200, "stream is stopping", "draining")
        assert psutil.pid_exists(pid) and await free() == 1  # its place is given to nobody yet
        status, said = await api.post("/stream/stuck/stop?wait=0")
        assert (status, said["message"]) == (200, "stream is stopping")
        ended = await api.wait("stuck", lambda s: not s["running"])
        assert (ended["exit_cause"], ended["exit_signal"]) == ("killed_by_us", "SIGKILL")
        assert not psutil.pid_exists(pid) and await free() == 2
        await until(lambda: absent(live, "stuck"))  # what it owed its readers, it could not do
        status, said = await api.post("/stream/stuck/stop")
        assert (status, said["message"]) == (200, "stream had ended already")
        status, said = await api.post("/stream/stuck/stop?wait=-1")
        assert status == 400 and "wait" in said["error"]
