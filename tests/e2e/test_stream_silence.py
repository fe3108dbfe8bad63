"""A source that is silent for long: nothing times out, and it goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.clip import Clip, Part, make_clip
from tests.support import clips
from tests.support.pool import Pool, running_pool
from tests.support.streams import Frame, frames_of, numbered, open_way, remuxed

SILENT_S = 35.0
SETTLED_S = (
    6.0  # 3 s until silence is called so, a status that comes twice a second, a busy machine
)
FRAMES = 60
BEFORE = 34  # frames until the silence: in the middle of the fourth segment


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:5") as running:
        yield running


@dataclass(frozen=True)
class Plan:
    """What is written: per segment its pieces; the silence lies before piece (segment, index)."""

    segments: list[list[bytes]]
    silence: tuple[int, int]
    before: int  # frames that are whole before the silence
    frames: list[Frame]


def _pieces(clip: Clip) -> list[list[bytes]]:
    return [frames_of(segment.data) for segment in clip.segments]


def between_segments() -> Plan:
    clip = clips.plain(FRAMES)
    return Plan(_pieces(clip), (3, 0), 30, numbered(clip))


def between_segments_while_its_clock_goes_on() -> Plan:
    parts = [
        Part(clips.spec(), 30, 30 * i, CLOCK + int(i * (1 + SILENT_S) * CLOCK)) for i in (0, 1)
    ]
    clip = make_clip(*parts)
    return Plan(_pieces(clip), (3, 0), 30, numbered(clip))


def between_frames() -> Plan:
    clip = clips.plain(FRAMES)
    return Plan(_pieces(clip), (3, 4), BEFORE, numbered(clip))


def inside_a_frame() -> Plan:
    """And inside a TS packet."""
    clip = clips.plain(FRAMES)
    pieces = _pieces(clip)
    frame = pieces[3][4]
    half = len(frame) // 2 + 1
    assert half % 188
    pieces[3][4:5] = [frame[:half], frame[half:]]
    return Plan(pieces, (3, 5), BEFORE, numbered(clip))


def inside_a_frame_of_unknown_length() -> Plan:
    """All in one segment, from a muxer that does not say how long a frame is."""
    clip = clips.plain(FRAMES)
    data = remuxed(clip.data)
    starts = [at for at in range(0, len(data), 188) if data[at + 1] == 0x41 and data[at + 2] == 0]
    assert len(starts) == FRAMES, "PID 0x100, the beginning of a PES packet"
    cut = starts[BEFORE] + 100
    # Frame 33 is known to be whole when the first packet of 34 has come.
    return Plan([[data[:cut], data[cut:]]], (0, 1), BEFORE - 1, numbered(clip))


PLANS = (
    between_segments,
    between_segments_while_its_clock_goes_on,
    between_frames,
    inside_a_frame,
    inside_a_frame_of_unknown_length,
)


async def _silent(pool: Pool, plan: Plan) -> None:
    async with open_way(pool) as way:
        for number, pieces in enumerate(plan.segments):
            for index, piece in enumerate(pieces):
                if (number, index) == plan.silence:
                    await way.came(plan.before)
                    begun = time.monotonic()
                    await asyncio.sleep(SILENT_S)
                    over = time.monotonic()
                if index == 0:
                    await way.source.begin()
                await way.source.write(piece)
            if plan.silence > (number, 0):
                await way.came(min(10 * number + 1, plan.before))  # not ahead of the window
        status = await way.end()
        way.check(plan.frames)
        assert status["frames"]["dropped"] == {} and status["segments"]["lost"] == 0
        assert status["transport_retries"] == 0 and status["last_error"] is None
        quiet = begun + SETTLED_S, over
        assert way.said("health", *quiet) == {"waiting"}
        assert way.said("source", *quiet) == way.said("sink", *quiet) == {"live"}
        assert way.said("state", *quiet) == {"streaming"}


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_silence_of_35_seconds(pool: Pool) -> None:
    """Anywhere: five streams at once, each with its silence in another place."""
    await asyncio.gather(*(_silent(pool, plan()) for plan in PLANS))
