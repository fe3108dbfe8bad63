"""The clip that everything is measured on, frame by frame, for as long as one likes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.clip import STREAMS, VIDEO_PID, Part, make_clip
from comfytrickle.testsrc.encoder import EncoderSpec

FPS = 30


@dataclass(frozen=True)
class EncodedUnit:
    """One frame: its elementary stream bytes and whether a segment begins with it."""

    data: bytes
    keyframe: bool


@dataclass(frozen=True)
class WrittenFrame:
    """One frame as transport stream packets; pts in 90 kHz ticks."""

    data: bytes
    pts: int
    keyframe: bool


def encode(width: int, height: int, seconds: int = 4) -> list[EncodedUnit]:
    """H.264, 30 fps, GOP 1 s, no B-frames, moving content with a burnt-in counter."""
    clip = make_clip(Part(EncoderSpec(width=width, height=height, fps=FPS), frames=seconds * FPS))
    demuxer = Demuxer()
    units = demuxer.feed(clip.data, 0.0) + demuxer.flush(0.0)
    return [EncodedUnit(unit.data, unit.random_access) for unit in units]


def endless(units: list[EncodedUnit], start_pts: int = CLOCK) -> Iterator[WrittenFrame]:
    """The clip over and over, with timestamps and continuity that go on."""
    muxer = Muxer([STREAMS["h264"]])
    number = 0
    while True:
        for unit in units:
            pts = start_pts + number * CLOCK // FPS
            tables = muxer.tables() if unit.keyframe else b""
            packets = muxer.write(VIDEO_PID, unit.data, pts, pts, keyframe=unit.keyframe)
            yield WrittenFrame(tables + packets, pts, unit.keyframe)
            number += 1
