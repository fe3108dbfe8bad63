"""The source ends, and audio goes through to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import psutil
import pytest

from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.clip import Clip, Part, make_clip
from tests.support import clips
from tests.support.pool import Pool, running_pool
from tests.support.streams import frames_of, numbered, open_way
from tests.support.tsstreams import packets


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as running:
        yield running


async def test_each_frame_comes_out_while_its_segment_is_still_open(pool: Pool) -> None:
    """Also the last one of a segment: nothing but its own bytes is needed."""
    clip = clips.plain(20)
    async with open_way(pool, drop="never") as way:
        sent = 0
        for segment in clip.segments:
            await way.source.begin()
            for frame in frames_of(segment.data):
                await way.source.write(frame)
                sent += 1
                await way.came(sent)
        await way.end()
        way.check(numbered(clip))


@pytest.mark.parametrize("bframes", [0, 2])
async def test_the_source_ends(pool: Pool, bframes: int) -> None:
    clip = clips.bframes(40, bframes)
    async with open_way(pool, drop="never") as way:
        await way.feed(clip)
        await way.came(35)  # with B-frames the decoder holds the last ones
        pid = (await way.status())["pid"]
        assert psutil.pid_exists(pid)
        ended = time.monotonic()
        status = await way.end()
        assert way.sink.arrivals[-1] - ended < 5  # on an idle machine 0.4 s, most of it in end()
        way.check(numbered(clip))
        assert way.sink.subscriber.end_reason in ("closed", "gone")
        assert status["state"] == "exited" and status["source"] is None
        assert not psutil.pid_exists(pid)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{status['publish_url']}/next") as reply,
        ):
            assert reply.status == 404


def _with_audio(start: int, frames: int = 70) -> Clip:
    return make_clip(Part(clips.spec(), frames, start_pts=start), audio=True)


AUDIO: dict[str, Callable[[], Clip]] = {
    "from one second on": lambda: _with_audio(CLOCK),
    "timestamps wrap": lambda: _with_audio((1 << 33) - CLOCK),
}


@pytest.mark.parametrize("source", AUDIO)
async def test_audio_goes_through_untouched(pool: Pool, source: str) -> None:
    clip = AUDIO[source]()
    async with open_way(pool, drop="never") as way:
        await way.feed(clip)
        status = await way.end()
        way.check(numbered(clip))  # the video's timestamps are the source's own
        given, got = (packets(data, "audio") for data in (clip.data, way.sink.data))
        assert len(given) > 100
        assert [p.data for p in got] == [p.data for p in given]
        assert [p.pts for p in got] == [p.pts for p in given]
        assert status["audio"] == audio(len(given))


def audio(units: int, silence: int = 0) -> dict[str, Any]:
    """The status when all of them passed by."""
    counts = {"in": units, "out": units, "silence": silence, "unheard": 0}
    return {**counts, "dropped": {}}


async def test_audio_keeps_its_place_when_timestamps_start_over(pool: Pool) -> None:
    """As far from the video of its time as it was in the source, on both sides of the jump."""
    parts = [Part(clips.spec(), 40, first=40 * i, start_pts=at) for i, at in ((0, 900_000), (1, 0))]
    clip = make_clip(*parts, audio=True)
    async with open_way(pool, drop="never") as way:
        await way.feed(clip)
        status = await way.end()
        way.check([(n, 900_000 + 3000 * n) for n in range(80)])
        halves = [b"".join(s.data for s in clip.segments[at : at + 4]) for at in (0, 4)]
        first, second = (packets(half, "audio") for half in halves)
        given = {p.data for p in first + second}
        came = packets(way.sink.data, "audio")
        got = [p for p in came if p.data in given]
        assert [p.data for p in got] == [p.data for p in first + second]
        # The sound of the first part ends before its last frame does: silence is in between.
        silence = len(came) - len(got)
        assert status["audio"] == audio(len(got), silence) and silence <= 3
        moved = 900_000 + 40 * 3000  # what 0 became
        assert [p.pts for p in got[: len(first)]] == [p.pts for p in first]
        assert [p.pts for p in got[len(first) :]] == [(p.pts or 0) + moved for p in second]
