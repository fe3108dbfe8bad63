"""What a source may look like: every frame of it comes out, at its time, through the whole way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfytrickle.mpegts.units import CLOCK, PTS_MASK
from comfytrickle.testsrc.clip import Clip, Part, make_clip
from tests.support import clips
from tests.support.pool import Pool, running_pool
from tests.support.streams import numbered, open_way, remuxed

INTERVAL = CLOCK // 30


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as running:
        yield running


SOURCES = {
    "h264 with B-frames": lambda: clips.bframes(60),
    "hevc": lambda: clips.hevc(60),
    "hevc with B-frames": lambda: clips.hevc(60, count=2),
    "variable frame rate": lambda: clips.variable_rate(60),
    "60000/1001 fps": lambda: clips.high_rate(120),
    "timestamps wrap": lambda: clips.pts_wrap(70),
    "timestamps wrap, B-frames": lambda: make_clip(
        Part(clips.spec(bframes=2, preset="veryfast"), 40, start_pts=(1 << 33) - 15 * INTERVAL)
    ),
    "segments of other muxers": lambda: _each_by_libavformat(clips.plain(60)),
    "segments of other muxers, B-frames": lambda: _each_by_libavformat(clips.bframes(60)),
    "segments of other muxers, hevc": lambda: _each_by_libavformat(clips.hevc(60)),
    "segments of other muxers, audio": lambda: _each_by_libavformat(clips.with_audio(60)),
}


def _each_by_libavformat(clip: Clip) -> Clip:
    """As segmenters do it: each segment from a muxer of its own, so that counters start over."""
    for segment in clip.segments:
        segment.data = remuxed(segment.data)
    return clip


@pytest.mark.parametrize("source", SOURCES)
async def test_every_frame_at_its_own_time(pool: Pool, source: str) -> None:
    clip = SOURCES[source]()
    async with open_way(pool, drop="never") as way:
        await way.feed(clip)
        status = await way.end()
        way.check(numbered(clip))
        assert status["frames"]["dropped"] == {} and status["segments"]["lost"] == 0
        assert status["segments"]["in"] == len(clip.segments)
        assert status["segments"]["out"] == len(way.sink.segments)
        assert status["last_error"] is None


async def test_timestamps_that_start_over(pool: Pool) -> None:
    """No frame is lost; the output goes on one frame later and then in the source's steps."""
    clip = clips.pts_restart(20)  # 100 s, 100 s + 1/30 ...; then 1 s, 1 s + 1/30 ...
    async with open_way(pool, drop="never") as way:
        await way.feed(clip)
        status = await way.end()
        way.check([(n, 100 * CLOCK + n * INTERVAL) for n in range(40)])
        assert status["frames"]["dropped"] == {}


async def test_timestamps_that_start_over_again_and_again_in_uneven_steps(pool: Pool) -> None:
    """Whatever the clock does between parts, within a part the spacing is the source's own."""
    steps = [0, 1500, 4500, 13500, 15000, 18000, 27000, 28500, 31500, 40500]
    starts = [CLOCK, 50 * CLOCK, 2 * CLOCK, (1 << 33) - 5 * CLOCK]  # the last but 26 hours ahead
    parts = [
        Part(clips.spec(), 10, first=10 * i, start_pts=start, offsets=steps)
        for i, start in enumerate(starts)
    ]
    clip = make_clip(*parts)
    async with open_way(pool, drop="never") as way:
        await way.feed(clip)
        await way.end()
        frames = way.sink.decode()
        assert [f.counter for f in frames] == list(range(40))
        for part in range(4):
            pts = [f.pts for f in frames[10 * part : 10 * part + 10]]
            assert [(p - pts[0]) & PTS_MASK for p in pts] == steps
        joints = [frames[10 * i].pts - frames[10 * i - 1].pts for i in (1, 2, 3)]
        # 49 s ahead is a pause and is kept; back, and 26 hours ahead, are new clocks
        assert joints[0] == 49 * CLOCK - steps[-1]
        assert all(0 < joint <= 9000 for joint in joints[1:])


@pytest.mark.parametrize("given", [None, (160, 96)])
async def test_the_size_changes_in_the_middle(pool: Pool, given: tuple[int, int] | None) -> None:
    """The output keeps the first size, or the one that was asked for."""
    clip = clips.resolution_change(20)  # 192x128, 320x180, 128x192
    width, height = given or (None, None)
    async with open_way(pool, drop="never", width=width, height=height) as way:
        await way.feed(clip)
        status = await way.end()
        frames = way.check(numbered(clip))
        expected = given or (192, 128)
        assert {frame.size for frame in frames} == {expected}
        assert (status["width"], status["height"]) == expected
        assert status["frames"]["dropped"] == {}


async def test_a_clip_of_many_segments_cut_at_odd_places(pool: Pool) -> None:
    """Segments of the channel need not be segments of the video: here they end anywhere."""
    clip: Clip = clips.plain(60)
    data = clip.data
    size = len(data) // 7 + 1  # not on packets' edges, let alone on frames'
    assert size % 188
    async with open_way(pool, drop="never") as way:
        for number, at in enumerate(range(0, len(data), size)):
            await way.segment(data[at : at + size], 0, seed=number)
            await way.came(3 * number + 1)  # something of it
        status = await way.end()
        way.check(numbered(clip))
        assert status["segments"]["in"] == 7
