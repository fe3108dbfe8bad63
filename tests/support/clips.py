"""Test clips in every variant the tests need, and the counters back out of any transport stream."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av

from comfytrickle.mpegts.units import CLOCK, PTS_MASK
from comfytrickle.testsrc.clip import Clip, Part, make_clip
from comfytrickle.testsrc.encoder import ColourSpec, EncoderSpec, Matrix
from comfytrickle.testsrc.reader import read_frame

WIDTH, HEIGHT = 192, 128  # small, so that encoding is quick; the counter is well readable
GOP = 10


def spec(width: int = WIDTH, height: int = HEIGHT, **changes: Any) -> EncoderSpec:
    """An encoder for tests: 30 fps, GOP of 10 frames; any field of EncoderSpec may be changed."""
    fields: dict[str, Any] = {"gop": GOP, "crf": 20.0} | changes
    return EncoderSpec(width, height, **fields)


def plain(frames: int = 30, first: int = 0, **changes: Any) -> Clip:
    """H.264, 30 fps, no B-frames."""
    return make_clip(Part(spec(**changes), frames, first))


def bframes(frames: int = 30, count: int = 2) -> Clip:
    """With B-frames: decoding order is not the order of presentation."""
    return make_clip(Part(spec(bframes=count, preset="veryfast"), frames))


def hevc(frames: int = 30, count: int = 0) -> Clip:
    return make_clip(Part(spec(codec="hevc", bframes=count), frames))


def variable_rate(frames: int = 30) -> Clip:
    """Gaps of 1/60, 1/30 and 1/10 of a second by turns."""
    offsets, at = [], 0
    for i in range(frames):
        offsets.append(at)
        at += (CLOCK // 60, CLOCK // 30, CLOCK // 10)[i % 3]
    return make_clip(Part(spec(), frames, offsets=offsets))


def resolution_change(frames: int = 20) -> Clip:
    """Three sizes in one stream, counters and timestamps going on."""
    sizes = [(192, 128), (320, 180), (128, 192)]
    parts = [
        Part(spec(w, h), frames, i * frames, CLOCK + i * frames * CLOCK // 30)
        for i, (w, h) in enumerate(sizes)
    ]
    return make_clip(*parts)


def pts_restart(frames: int = 20) -> Clip:
    """Timestamps jump back to the start in the middle; counters go on."""
    parts = [Part(spec(), frames, 0, 100 * CLOCK), Part(spec(), frames, frames, CLOCK)]
    return make_clip(*parts)


def pts_wrap(frames: int = 30) -> Clip:
    """Timestamps pass 2**33 in the middle of the clip (and of a segment)."""
    before = (frames // 2) * CLOCK // 30
    return make_clip(Part(spec(), frames, start_pts=(1 << 33) - before))


def with_audio(frames: int = 30) -> Clip:
    """H.264 and a 440 Hz tone in AAC."""
    return make_clip(Part(spec(), frames), audio=True)


def coloured(matrix: Matrix, full_range: bool, tagged: bool, frames: int = 10) -> Clip:
    """Colour bars in the given YUV, which the stream says (tagged) or keeps to itself."""
    colour = ColourSpec(matrix, full_range, tagged)
    return make_clip(Part(spec(colour=colour, crf=10.0), frames))


def high_rate(frames: int = 60) -> Clip:
    """60000/1001 fps: timestamps that are no whole number of ticks apart."""
    return make_clip(Part(spec(fps=Fraction(60000, 1001)), frames))


def read_counters(data: bytes) -> list[tuple[int | None, int | None]]:
    """Decode MPEG-TS with PyAV's own demuxer: (pts in 90 kHz ticks, counter) of each frame.

    Frames come in order of presentation; a counter that cannot be read is None. Timestamps have
    33 bits, as they stand in the stream.
    """
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        return [
            (None if frame.pts is None else frame.pts & PTS_MASK, read_frame(frame))
            for frame in container.decode(video=0)
        ]
