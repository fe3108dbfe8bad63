"""The demo must notice what is wrong: its reader, fed with streams of known faults."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from comfytrickle.demo.ledger import Ledger
from comfytrickle.demo.sink import Sink
from comfytrickle.demo.workflows import DemoWorkflow, invert
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.testsrc.clip import STREAMS, VIDEO_PID
from comfytrickle.testsrc.encoder import PictureEncoder
from comfytrickle.testsrc.pattern import Pattern
from tests.support import clips

FRAMES = 20
PASS_THROUGH = DemoWorkflow("pass-through", {})


def stream(numbers: list[int], negative: bool) -> list[bytes]:
    """Frames with these counters as segments; frame ``n`` has the pts it was "sent" with."""
    pattern, encoder = Pattern(clips.WIDTH, clips.HEIGHT), PictureEncoder(clips.spec())
    muxer = Muxer([STREAMS["h264"]])
    segments: list[bytes] = []
    for i, n in enumerate(numbers):
        rgb = pattern.render(n)
        for unit in encoder.encode(255 - rgb if negative else rgb, 90_000 + i * 3000):
            if unit.keyframe:
                segments.append(muxer.tables())
            segments[-1] += muxer.write(VIDEO_PID, unit.data, unit.pts, keyframe=unit.keyframe)
    return segments


async def received(
    numbers: list[int], *, negative: bool = True, workflow: DemoWorkflow | None = None, cut: int = 0
) -> tuple[Ledger, Sink]:
    """20 frames were sent; ``numbers`` come back. ``cut``: bytes missing in the first segment."""
    ledger = Ledger()
    for n in range(FRAMES):
        ledger.sent(n, time.monotonic(), n * 3000)
    sink = Sink(ledger, Pattern(clips.WIDTH, clips.HEIGHT), workflow or invert())
    parts = stream(numbers, negative)
    half = len(parts[0]) // 2
    parts[0] = parts[0][:half] + parts[0][half + cut :]

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]

    async def segments() -> AsyncIterator[AsyncIterator[bytes]]:
        for part in parts:
            yield pieces(part)

    await sink.run(segments())
    ledger.close()
    return ledger, sink


async def test_what_is_right_is_found_right() -> None:
    ledger, sink = await received(list(range(FRAMES)))
    assert ledger.faults() == []
    assert (ledger.frames_out, ledger.pictures_checked, ledger.pictures_wrong) == (20, 2, 0)
    assert sink.changed is True
    assert len(ledger.latencies) == FRAMES


async def test_a_workflow_that_did_nothing_is_noticed() -> None:
    ledger, sink = await received(list(range(FRAMES)), negative=False)
    assert ledger.faults() == ["2 frames with a wrong picture"]
    assert sink.changed is False


async def test_without_a_reference_the_difference_is_told() -> None:
    ledger, sink = await received(list(range(FRAMES)), workflow=PASS_THROUGH)
    assert (ledger.faults(), ledger.pictures_checked, sink.changed) == ([], 0, True)


async def test_lost_double_and_swapped_frames_are_noticed() -> None:
    numbers = [0, 1, 2, 4, 3, 5, 5, 6, *range(9, FRAMES)]
    ledger, _ = await received(numbers)
    assert (ledger.lost, ledger.duplicated, ledger.out_of_order) == (2, 1, 1)
    assert ledger.wrong_pts > 0  # they carry the timestamps of others


async def test_missing_bytes_are_noticed() -> None:
    ledger, _ = await received(list(range(FRAMES)), cut=188 * 3)
    assert ledger.damaged > 0
    assert "damaged" in "; ".join(ledger.faults())
