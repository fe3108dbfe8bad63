"""The decode thread of a stream that is sent pictures, and the stage that encodes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from comfytrickle.messages import FramesRefused, ResumePoint, StreamConfig
from comfytrickle.mpegts.units import CLOCK, PTS_MASK
from comfytrickle.testsrc import counter
from tests.support.frame_sockets import RAW, jpeg, message, numbered, picture
from workers.ends.inlet import Refusals
from workers.ends.outlet import Outlet
from workers.media.colour import untagged
from workers.media.frames import Frame
from workers.media.slot import Slot
from workers.sound.route import SoundRoute
from workers.stages.items import Item, Packet, Picture, Resize, SentFrame, SourceEnd
from workers.stages.pictures import PictureStage
from workers.stages.queues import Handover, Inbox, Outbox
from workers.stages.stats import Stats
from workers.stages.uncoded import UncodedStage

PATIENCE_S = 20


class Run:
    """A stage, its items in, its frames out."""

    def __init__(self, *items: Item, **config: Any) -> None:
        self.refused: list[tuple[int, str]] = []
        self.errors: list[Exception] = []
        self.stats = Stats()
        self.slot = Slot(drop="never")
        inbox: Inbox[Item] = Inbox(0)
        self.stage = PictureStage(
            StreamConfig("s", {}, **config), inbox, self.slot, self.stats, Outlet(None),
            on_refused=lambda seq, why: self.refused.append((seq, why)),
            on_error=lambda _, error: self.errors.append(error),
        )  # fmt: skip
        for item in (*items, SourceEnd()):
            inbox.put_nowait(item)
        self.stage.start()
        self.frames: list[Frame] = []
        while (frame := self.slot.take()) is not None or not self.slot.closed:
            if frame is not None:
                self.frames.append(frame)
        self.stage.join(PATIENCE_S)
        assert not self.stage.is_alive() and self.errors == []


def raw(n: int, width: int, height: int) -> bytes:
    return message(
        np.ascontiguousarray(picture(n, width, height)).tobytes(),
        seq=n, kind=RAW, size=(width, height),
    )  # fmt: skip


async def test_what_comes_goes_on_with_its_time_and_its_clock() -> None:
    run = Run(*(Picture(numbered(n), 50.0 + n) for n in range(4)))
    assert [counter.read(frame.rgb) for frame in run.frames] == [0, 1, 2, 3]
    assert [frame.pts for frame in run.frames] == [0, 6000, 12000, 18000]
    assert [frame.sent for frame in run.frames] == [0, 1, 2, 3]
    assert [frame.arrived for frame in run.frames] == [50, 51, 52, 53]
    assert {frame.segment for frame in run.frames} == {0}, "so that it can be resumed"
    assert run.stage.codec == "jpeg" and run.stage.size == (256, 192)
    assert (run.stats.frames_in, run.stage.dropped(), run.refused) == (4, {}, [])


async def test_without_a_time_of_its_own_a_frame_has_that_of_its_arrival() -> None:
    data = jpeg(picture(1))
    run = Run(*(Picture(message(data, pts=-1), 10.0 + at) for at in (0.0, 0.1, 0.5)))
    assert [frame.pts for frame in run.frames] == [10 * CLOCK, 10.1 * CLOCK, 10.5 * CLOCK]


async def test_long_times_wrap_and_backward_ones_go_on() -> None:
    data = jpeg(picture(1))
    late = 5 * (PTS_MASK + 1) + PTS_MASK
    run = Run(*(Picture(message(data, pts=pts), 1.0) for pts in (late, late + 3000, 0, 3000)))
    steps = np.diff([frame.pts for frame in run.frames])
    assert (steps > 0).all() and steps[0] == 3000, "and further than that nothing is promised"
    assert run.frames[1].source_pts == (late + 3000) & PTS_MASK


async def test_the_first_size_stays_until_it_is_changed() -> None:
    run = Run(
        Picture(raw(1, 131, 99), 1.0),
        Picture(message(jpeg(picture(2))), 1.1),
        Resize(96, 64),
        Picture(raw(3, 256, 192), 1.2),
    )
    assert [frame.rgb.shape for frame in run.frames] == [(98, 130, 3)] * 2 + [(64, 96, 3)]
    assert [counter.read(frame.rgb) for frame in run.frames] == [1, 2, 3]
    assert run.stage.codec == "rgb24"
    asked = Run(Picture(numbered(4), 1.0), width=128, height=96)
    assert asked.frames[0].rgb.shape == (96, 128, 3)


async def test_raw_pixels_are_not_touched() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (32, 48, 3), np.uint8)
    (frame,) = Run(Picture(message(rgb.tobytes(), kind=RAW, size=(48, 32)), 1.0)).frames
    assert np.array_equal(frame.rgb, rgb)


async def test_bad_ones_are_counted_and_told() -> None:
    good = jpeg(picture(5))
    run = Run(
        Picture(message(good[:500], seq=8), 1.0),
        Picture(message(b"abc", seq=9, kind=RAW, size=(4, 4)), 1.0),
        Picture(b"rubbish", 1.0),
        Picture(numbered(5), 1.0),
    )
    assert [counter.read(frame.rgb) for frame in run.frames] == [5]
    assert run.stage.dropped() == {"damaged": 3} and run.stats.frames_in == 4
    assert [seq for seq, _ in run.refused] == [8, 9, 0]
    assert "cannot be decoded" in run.refused[0][1] and "size says" in run.refused[1][1]


async def test_a_replacement_goes_on_where_the_former_one_was() -> None:
    resume = ResumePoint(segment=0, source_pts=6000, pts=1_000_000, audio_pts=-1)
    run = Run(Picture(message(jpeg(picture(2)), pts=12_000), 1.0), resume_at=resume)
    assert [frame.pts for frame in run.frames] == [1_006_000]


async def test_refusals_are_told_together() -> None:
    told: list[FramesRefused] = []
    refusals = Refusals(asyncio.get_running_loop(), told.append)
    for seq in range(250):
        refusals.add(seq, f"bad {seq}")
    for _ in range(1000):
        if told:
            break
        await asyncio.sleep(0.01)
    assert told == [FramesRefused(list(range(150, 250)), 250, "bad 249")]
    refusals.add(7, "again")
    for _ in range(1000):
        if len(told) > 1:
            break
        await asyncio.sleep(0.01)
    assert told[1] == FramesRefused([7], 1, "again")


async def test_without_a_sink_frames_are_counted_and_let_go() -> None:
    source: Handover[Frame] = Handover(10)
    outbox: Outbox[Packet | None] = Outbox(1 << 20)
    stage = UncodedStage(source, SoundRoute(), outbox, pytest.fail)  # type: ignore[arg-type]
    stage.start()
    for n in range(3):
        source.put(Frame(picture(n), n * 3000, untagged(192), float(n), 4, n * 3000 + 7))
    source.end()
    for n in range(3):
        packet = await asyncio.wait_for(outbox.get(), PATIENCE_S)
        assert packet is not None and packet.data == b"" and not packet.begins
        sent = packet.sent
        assert isinstance(sent, SentFrame)
        assert (sent.pts, sent.arrived, sent.segment) == (n * 3000, n, 4)
        assert sent.source_pts == n * 3000 + 7
    assert await asyncio.wait_for(outbox.get(), PATIENCE_S) is None
    stage.join(PATIENCE_S)
    assert not stage.is_alive() and stage.dropped() == {}
