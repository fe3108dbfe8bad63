"""A trickle server dies and comes back on its port, with nothing of what it knew."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import pytest

from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.sources import pattern_chunks
from tests.support import clips
from tests.support.pool import Pool, running_pool
from tests.support.streams import ServerProcess, Way, frames_of, numbered, open_way

CLIP = clips.plain(120)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as running:
        yield running


async def _feed_with_a_pause(way: Way, first: int, inside: int) -> None:
    """Whole segments up to ``first``, and ``inside`` frames of it; all of that is through."""
    for number, segment in enumerate(CLIP.segments[:first]):
        await way.segment(segment.data, len(segment.counters), seed=number)
    if inside:
        await way.source.begin()
        for frame in frames_of(CLIP.segments[first].data)[:inside]:
            await way.source.write(frame)
    await way.came(10 * first + inside)


async def _feed_the_rest(way: Way, first: int, inside: int) -> None:
    if inside:
        for frame in frames_of(CLIP.segments[first].data)[inside:]:
            await way.source.write(frame)
        await way.came(10 * first + 10)
        first += 1
    for number, segment in enumerate(CLIP.segments[first:], first):
        await way.segment(segment.data, len(segment.counters), seed=number)


@pytest.mark.parametrize("inside", [0, 4], ids=["between segments", "in a segment"])
async def test_the_server_of_the_source(pool: Pool, inside: int) -> None:
    """Nothing was under way when it died, so nothing is lost; its publisher repeats the segment
    that is open, and what was read of that is not read twice."""
    async with (
        ServerProcess() as server,
        open_way(pool, source_at=server.url, drop="never") as way,
    ):
        await _feed_with_a_pause(way, 5, inside)
        await server.kill()
        status = await way.shows(lambda s: s["source"] == "retrying")
        assert status["running"] and status["last_error"]["kind"] == "source"
        await way.shows(lambda s: s["health"] == "waiting")
        await server.start()
        await way.shows(lambda s: s["source"] == "live")
        await _feed_the_rest(way, 5, inside)
        status = await way.end()
        assert status["segments"]["lost"] == 0 and status["transport_retries"] > 0
        way.check(numbered(CLIP))


@pytest.mark.parametrize("inside", [0, 4], ids=["between segments", "in a segment"])
async def test_the_server_of_the_sink(pool: Pool, inside: int) -> None:
    """What the worker has written of the open segment is kept and sent again; the reader had read
    all that was confirmed before."""
    async with (
        ServerProcess() as server,
        open_way(pool, sink_at=server.url, drop="never") as way,
    ):
        await _feed_with_a_pause(way, 5, inside)
        await server.kill()
        status = await way.shows(lambda s: s["sink"] == "retrying")
        assert status["running"]
        await way.shows(lambda s: s["health"] == "waiting")
        await server.start()
        await _feed_the_rest(way, 5, inside)
        await way.came(120)  # the channel is deleted at the end, and a reader may be pausing
        status = await way.shows(lambda s: s["sink"] == "live")
        assert status["transport_retries"] > 0
        status = await way.end()
        way.check(numbered(CLIP))
        assert status["segments"]["out"] == 4


async def test_the_server_of_the_sink_is_away_for_too_long(pool: Pool) -> None:
    """Live, so what nobody takes is not kept for ever: the frames of whole segments are given up,
    and counted. They do not count as out, and nothing is called ok while none goes out."""
    chunks = list(pattern_chunks(EncoderSpec(192, 128), 420))
    async with (
        ServerProcess() as server,
        open_way(pool, sink_at=server.url) as way,
    ):
        feeding = asyncio.create_task(way.live(chunks))
        try:
            await way.came(75)
            await server.kill()
            killed = time.monotonic()
            status = await way.shows(lambda s: s["health"] == "stalled")
            assert status["sink"] == "retrying" and status["last_error"]["kind"] == "sink"
            given_up = (await way.shows(lambda s: s["frames"]["dropped"].get("sink")))["frames"]
            assert given_up["in"] > given_up["out"] and given_up["out"] < 120
            await server.start()
            back = time.monotonic()
            await way.shows(lambda s: s["sink"] == "live")
            await feeding
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})
        assert "ok" not in way.said("health", killed + 2, back)
        await way.source_is_read()
        await way.source.close()
        await way.over()
        status = await way.shows(lambda s: not s["running"])
        assert status["health"] == "ended"
        assert set(status["frames"]["dropped"]) == {"sink"}
        out, dropped = status["frames"]["out"], status["frames"]["dropped"]["sink"]
        assert out + dropped == status["frames"]["in"] == len(chunks)

        # Out is what was sent; of that, the reader was not there for what came first.
        numbers = [n for f in way.sink.decode() if (n := f.counter) is not None]
        resumed = next(n for n, (a, b) in enumerate(itertools.pairwise(numbers)) if a + 1 != b) + 1
        assert numbers[:resumed] == list(range(resumed)) and resumed >= 75
        assert numbers[resumed:] == list(range(numbers[resumed], len(chunks)))
        assert numbers[resumed] % 30 == 0, "it goes on with a segment's beginning"
        assert len(numbers) <= out and numbers[resumed] - resumed >= dropped
