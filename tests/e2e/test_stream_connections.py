"""Connections that break on the way in or out: no frame is lost, none comes twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support import clips
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.pool import Pool, running_pool
from tests.support.streams import numbered, open_way, serving

CLIP = clips.plain(120)  # 12 segments of 10 frames in, 4 of 30 out


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as running:
        yield running


GETS = {
    "cut at its begin": lambda: Fault("cut", "GET", r"/in-\w+/3$", after=1),
    "cut in its middle": lambda: Fault("cut", "GET", r"/in-\w+/3$", after=2500),
    "cut thrice": lambda: Fault("cut", "GET", r"/in-\w+/3$", after=700, times=3),
    "closed in its middle": lambda: Fault("close", "GET", r"/in-\w+/3$", after=2500),
    "refused with 500": lambda: Fault("status", "GET", r"/in-\w+/3$", status=500),
    "refused with 503 thrice": lambda: Fault("status", "GET", r"/in-\w+/3$", status=503, times=3),
}
POSTS = {
    "cut at its begin": lambda: Fault("cut", "POST", r"/out-\w+/1$", after=1),
    "cut in its middle": lambda: Fault("cut", "POST", r"/out-\w+/1$", after=5000),
    "cut thrice": lambda: Fault("cut", "POST", r"/out-\w+/1$", after=900, times=3),
    "closed in its middle": lambda: Fault("close", "POST", r"/out-\w+/1$", after=5000),
    "refused with 500": lambda: Fault("status", "POST", r"/out-\w+/1$", status=500),
    "refused with 503 thrice": lambda: Fault("status", "POST", r"/out-\w+/1$", status=503, times=3),
}


@pytest.mark.parametrize("how", GETS)
async def test_a_get_breaks(pool: Pool, how: str) -> None:
    async with serving() as url, FaultProxy(url) as proxy:
        fault = proxy.add(GETS[how]())
        times = fault.times
        async with open_way(pool, source_at=url, subscribe=f"{proxy.url}/", drop="never") as way:
            await way.feed(CLIP)
            status = await way.end()
            way.check(numbered(CLIP))
        assert fault.hits == times
        assert status["transport_retries"] >= times
        assert status["segments"]["lost"] == 0 and status["frames"]["dropped"] == {}


@pytest.mark.parametrize("how", POSTS)
async def test_a_post_breaks(pool: Pool, how: str) -> None:
    async with serving() as url, FaultProxy(url) as proxy:
        fault = proxy.add(POSTS[how]())
        times = fault.times
        async with open_way(pool, sink_at=url, publish=f"{proxy.url}/", drop="never") as way:
            await way.feed(CLIP)
            status = await way.end()
            way.check(numbered(CLIP))
        assert fault.hits == times
        assert status["transport_retries"] >= times
        assert status["segments"]["out"] == 4 and status["frames"]["dropped"] == {}


async def test_all_connections_break_at_once_again_and_again(pool: Pool) -> None:
    async with (
        serving() as url,
        FaultProxy(url) as proxy,
        open_way(
            pool,
            source_at=url,
            sink_at=url,
            subscribe=f"{proxy.url}/",
            publish=f"{proxy.url}/",
            drop="never",
        ) as way,
    ):
        for number, segment in enumerate(CLIP.segments):
            await way.segment(segment.data, len(segment.counters), seed=number)
            if number % 3 == 1:
                await proxy.cut_all()
        status = await way.end()
        way.check(numbered(CLIP))
        assert status["segments"]["lost"] == 0 and status["transport_retries"] >= 4


async def test_the_channel_comes_three_seconds_late(pool: Pool) -> None:
    async with open_way(pool, create=False, drop="never") as way:
        status = await way.shows(lambda s: s["source"] == "waiting")
        assert status["running"] and status["pipeline_ready"]
        await asyncio.sleep(3)  # it is late by that much: there is nothing to wait for
        appeared = time.monotonic()
        await way.source.start()
        await way.feed(CLIP)
        status = await way.end()
        way.check(numbered(CLIP))
        assert way.said("source", until=appeared) <= {None, "connecting", "waiting"}
        assert way.said("health", until=appeared) <= {"loading", "waiting"}
        assert status["segments"]["lost"] == 0 and status["last_error"] is None
