"""Two streams in two processes: what happens to one is nothing to the other."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc import counter
from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.sources import pattern_chunks
from tests.support.pool import Pool, running_pool
from tests.support.streams import example, open_way

CHUNKS = list(pattern_chunks(EncoderSpec(256, 256), 150))
KILLED_AT = 60  # frames


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    flags = (
        "--devices",
        "cpu:2",
        "--restart-budget",
        "0",
    )  # what happens to a dead one is tested apart
    with running_pool(tmp_path_factory.mktemp("pool"), *flags) as running:
        yield running


@pytest.mark.parametrize("survivor", ["invert", "passthrough"])
async def test_one_worker_is_killed_and_the_other_loses_no_frame(pool: Pool, survivor: str) -> None:
    """Live at 30 frames a second, two different workflows."""
    other = {"invert": "passthrough", "passthrough": "invert"}[survivor]
    async with (
        open_way(pool, workflow=example(survivor)) as lives,
        open_way(pool, workflow=example(other)) as dies,
    ):
        pids = [(await way.status())["pid"] for way in (lives, dies)]
        feeding = [asyncio.create_task(way.live(CHUNKS)) for way in (lives, dies)]
        try:
            await dies.came(KILLED_AT)
            assert lives.sink.frames < len(CHUNKS) - 30, "it is alive and fed when this happens"
            os.kill(pids[1], signal.SIGKILL)
            dead = await dies.shows(lambda s: not s["running"])
            await asyncio.gather(*feeding)
        finally:
            for task in feeding:
                task.cancel()
            await asyncio.wait(feeding)
        assert (dead["state"], dead["health"]) == ("exited", "failed")
        assert (dead["exit_cause"], dead["exit_signal"]) == ("signalled", "SIGKILL")
        assert dead["last_error"]["kind"] == "worker"
        assert "SIGKILL" in dead["last_error"]["message"]
        assert not psutil.pid_exists(pids[1])

        status = await lives.end()
        assert status["pid"] == pids[0] and status["frames"]["dropped"] == {}
        frames = lives.check([(n, CLOCK + n * 3000) for n in range(len(CHUNKS))])
        assert {counter.is_inverted(f.luma) for f in frames} == {survivor == "invert"}

        # What the killed one had put out until then is right, frame by frame.
        got = [f for segment in dies.sink.segments[:-1] for f in segment.decode()]
        assert len(got) >= KILLED_AT - 30
        assert [f.counter for f in got] == list(range(len(got)))
        assert {counter.is_inverted(f.luma) for f in got} == {other == "invert"}
