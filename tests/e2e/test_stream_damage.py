"""Bytes that are lost or wrong inside a segment: what they hit is missing, and nothing is wrong.

A frame that refers to a damaged one cannot be right, so from the damage to the end of its GOP none
comes out. All that come out are compared with the undamaged clip, block by block.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
import pytest

from comfytrickle.testsrc.clip import Clip, Part, make_clip
from comfytrickle.testsrc.reader import luma, read_frame
from tests.support import clips
from tests.support.pool import Pool, running_pool
from tests.support.streams import PACKET, OutFrame, frames_of, numbered, open_way

Frames = list[bytes]
BLOCK = 8
# Levels of 255, the mean over a block: encoding once more costs less than half of it, and a block
# that is not of its own frame is off by far more wherever anything moves.
WRONG = 8.0


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as running:
        yield running


def _clip(**changes: object) -> Clip:
    """Five segments of ten frames, each frame some TS packets long."""
    return make_clip(Part(clips.spec(320, 192, crf=8.0, **changes), 50))


def _pictures(data: bytes) -> dict[int | None, npt.NDArray[np.uint8]]:
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        return {read_frame(f): luma(f).copy() for f in container.decode(video=0)}


def _worst_block(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    off = np.abs(a.astype(np.int16) - b.astype(np.int16))
    height, width = off.shape
    blocks = off.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return float(blocks.mean(axis=(1, 3)).max())


def _check_pictures(clip: Clip, frames: list[OutFrame]) -> None:
    clean = _pictures(clip.data)
    worst = {f.counter: _worst_block(f.luma, clean[f.counter]) for f in frames}
    assert not {n: w for n, w in worst.items() if w > WRONG}


# --- what happens to frame 4 of a segment (or others), given its frames' bytes ------------------


def _middle(frame: bytes) -> int:
    """Where a packet in the middle of a frame begins."""
    assert len(frame) >= 5 * PACKET
    return len(frame) // PACKET // 2 * PACKET


def _changed(frames: Frames, index: int, at: int, new: bytes, old: int = -1) -> Frames:
    """``new`` in the place of ``old`` bytes (default: as many) of one frame."""
    frame = frames[index]
    end = at + (len(new) if old < 0 else old)
    return [*frames[:index], frame[:at] + new + frame[end:], *frames[index + 1 :]]


def cut_middle(frames: Frames) -> Frames:
    return _changed(frames, 4, _middle(frames[4]), b"", PACKET)


def cut_first(frames: Frames) -> Frames:
    return _changed(frames, 4, 0, b"", PACKET)


def cut_last(frames: Frames) -> Frames:
    return _changed(frames, 4, len(frames[4]) - PACKET, b"", PACKET)


def cut_frame(frames: Frames) -> Frames:
    assert len(frames[4]) // PACKET % 16, "a continuity counter cannot show this"
    return [*frames[:4], *frames[5:]]


def cut_over_an_edge(frames: Frames) -> Frames:
    """The end of one frame and the begin of the next."""
    frames = _changed(frames, 4, len(frames[4]) - 2 * PACKET, b"", 2 * PACKET)
    return _changed(frames, 5, 0, b"", PACKET)


def cut_in_keyframe(frames: Frames) -> Frames:
    return _changed(frames, 0, _middle(frames[0]), b"", PACKET)


def cut_tables(frames: Frames) -> Frames:
    assert frames[0][1:3] == b"\x40\x00", "the PAT is the first packet"
    return _changed(frames, 0, 0, b"", 2 * PACKET)


def cut_in_last_frame(frames: Frames) -> Frames:
    return _changed(frames, 9, _middle(frames[9]), b"", PACKET)


def odd_bytes_missing(frames: Frames) -> Frames:
    return _changed(frames, 4, _middle(frames[4]) + 50, b"", 77)


def odd_bytes_more(frames: Frames) -> Frames:
    return _changed(frames, 4, _middle(frames[4]), random.Random(1).randbytes(100), 0)


def error_indicated(frames: Frames) -> Frames:
    at = _middle(frames[4]) + 1
    return _changed(frames, 4, at, bytes([frames[4][at] | 0x80]))


def sync_byte_spoilt(frames: Frames) -> Frames:
    return _changed(frames, 4, _middle(frames[4]), b"\x00")


def zeros_in_a_packet(frames: Frames) -> Frames:
    """What the transport does not show, the H.264 decoder notices. Most of the time: nothing in
    H.264 makes sure of it, and with H.265 libavcodec notices nothing at all."""
    return _changed(frames, 4, _middle(frames[4]) + 4, bytes(PACKET - 4))


def packet_twice(frames: Frames) -> Frames:
    """Allowed by the standard (2.4.3.3)."""
    at = _middle(frames[4])
    return _changed(frames, 4, at, frames[4][at : at + PACKET], 0)


@dataclass(frozen=True)
class Case:
    damage: Callable[[Frames], Frames]
    first_lost: int | None  # index in its segment; from it to the segment's end all are missing
    codecs: tuple[str, ...] = ("h264", "hevc")


CASES = [
    Case(cut_middle, 4),
    Case(cut_first, 4),
    Case(cut_last, 4),
    Case(cut_frame, 4),
    Case(cut_over_an_edge, 4),
    Case(cut_in_keyframe, 0),
    Case(cut_tables, None),
    Case(cut_in_last_frame, 9),
    Case(odd_bytes_missing, 4),
    Case(odd_bytes_more, 4),
    Case(error_indicated, 4),
    Case(sync_byte_spoilt, 4),
    Case(packet_twice, None),
    Case(zeros_in_a_packet, 4, ("h264",)),
]


@pytest.mark.parametrize(
    ("case", "codec"),
    [
        pytest.param(case, codec, id=f"{case.damage.__name__}-{codec}")
        for case in CASES
        for codec in case.codecs
    ],
)
async def test_a_damaged_segment(pool: Pool, case: Case, codec: str) -> None:
    clip = _clip(codec=codec)
    hit = 2  # segment
    lost = [] if case.first_lost is None else list(range(10 * hit + case.first_lost, 10 * hit + 10))
    async with open_way(pool, drop="never", encode={"crf": 8}) as way:
        for number, segment in enumerate(clip.segments):
            frames = frames_of(segment.data)
            assert len(frames) == 10
            if number == hit:
                frames = case.damage(frames)
            due = sum(n not in lost for n in segment.counters)
            await way.segment(b"".join(frames), due, seed=number)
        status = await way.end()
        out = way.check(numbered(clip, without=lost))
        _check_pictures(clip, out)
        dropped = status["frames"]["dropped"]
        assert set(dropped) <= {"damaged", "undecodable"}
        # A frame of which nothing came cannot be counted; all others are.
        assert len(lost) - 1 <= sum(dropped.values()) <= len(lost)
