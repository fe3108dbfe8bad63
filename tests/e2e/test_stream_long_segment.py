"""One segment that does not end for 45 seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction

import pytest

from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.sources import Chunk, pattern_chunks
from tests.support.pool import Pool, running_pool
from tests.support.streams import open_way

SECONDS = 45
FPS = 10


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:1") as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_one_segment_of_45_seconds(pool: Pool) -> None:
    """In real time, with one keyframe at its very beginning. The output is cut as ever, and no
    frame waits for the segment's end."""
    frames = SECONDS * FPS
    spec = EncoderSpec(192, 128, Fraction(FPS), gop=10 * frames)
    chunks = list(pattern_chunks(spec, frames))
    assert [chunk.begins_segment for chunk in chunks] == [True] + [False] * (frames - 1)
    written: list[float] = []

    def note(_: Chunk) -> None:
        written.append(time.monotonic())

    async with open_way(pool) as way:
        await way.live(chunks, note)
        await way.came(frames)
        status = await way.end()
        way.check([(n, CLOCK + n * CLOCK // FPS) for n in range(frames)])
        assert status["segments"]["in"] == 1 and status["frames"]["dropped"] == {}
        assert len(way.sink.segments) == SECONDS
        late = [came - sent for sent, came in zip(written, way.sink.arrivals, strict=True)]
        # On an idle machine 5 ms; a busy one may hold the worker's start or single frames up.
        assert sorted(late)[len(late) // 2] < 1.0 and max(late) < 15.0
        assert way.said("health", written[0] + 8, written[-1]) == {"ok"}
