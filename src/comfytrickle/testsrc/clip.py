"""Test clips: pattern frames as MPEG-TS, cut at keyframes like the segments of a channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import CLOCK, PTS_MASK, ElementaryStream
from comfytrickle.testsrc import counter
from comfytrickle.testsrc.aac import Tone
from comfytrickle.testsrc.encoder import EncodedFrame, EncoderSpec, PictureEncoder
from comfytrickle.testsrc.pattern import Pattern

VIDEO_PID = 0x100
AUDIO_PID = 0x101
STREAMS = {
    "h264": ElementaryStream(VIDEO_PID, 0x1B, "video", "h264"),
    "hevc": ElementaryStream(VIDEO_PID, 0x24, "video", "hevc"),
    "aac": ElementaryStream(AUDIO_PID, 0x0F, "audio", "aac"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of frames from one encoder.

    ``first`` is the counter of the first frame. Its pts is ``start_pts``, in 90 kHz ticks, which
    may pass 2**33 (it is written wrapped). ``offsets`` (ticks after start_pts, strictly
    increasing, one per frame) make a variable frame rate; without, frames are 1 / fps apart.
    """

    encoder: EncoderSpec
    frames: int = 30
    first: int = 0
    start_pts: int = CLOCK
    offsets: Sequence[int] | None = None

    def pts(self, index: int) -> int:
        if self.offsets is not None:
            return self.start_pts + self.offsets[index]
        return self.start_pts + int(index * CLOCK / self.encoder.fps)


@dataclass(slots=True)
class ClipSegment:
    """What one POST carries: MPEG-TS that decodes alone, and the counters of its frames."""

    data: bytes = b""
    counters: list[int] = field(default_factory=list)  # in order of presentation
    pts: list[int] = field(default_factory=list)  # of the same frames, 33 bits


@dataclass(slots=True)
class Clip:
    """A whole clip; segments joined are one continuous transport stream."""

    segments: list[ClipSegment]

    @property
    def data(self) -> bytes:
        return b"".join(segment.data for segment in self.segments)

    @property
    def counters(self) -> list[int]:
        return [n for segment in self.segments for n in segment.counters]


def make_clip(*parts: Part, audio: bool = False) -> Clip:
    """Encode ``parts`` one after the other into one transport stream.

    Parts may differ in size, rate, timestamps and colour, not in codec (ValueError). With
    ``audio`` a 440 Hz tone goes along as AAC.
    """
    if not parts:
        raise ValueError("a clip needs at least one part")
    codec = parts[0].encoder.codec
    if any(part.encoder.codec != codec for part in parts):
        raise ValueError("all parts of a clip have the same codec")
    streams = [STREAMS[codec]] + ([STREAMS["aac"]] if audio else [])
    muxer = Muxer(streams)
    segments: list[ClipSegment] = []
    for part in parts:
        tone = Tone(part.start_pts) if audio else None
        numbers = {part.pts(i): (part.first + i) % counter.PERIOD for i in range(part.frames)}
        for unit in _encode(part):
            chunks = []
            if unit.keyframe:
                segments.append(ClipSegment())
                chunks.append(muxer.tables())
            chunks.append(
                muxer.write(VIDEO_PID, unit.data, unit.pts, unit.dts, keyframe=unit.keyframe)
            )
            if tone is not None:
                for sound in tone.until(unit.pts):
                    chunks.append(muxer.write(AUDIO_PID, sound.data, sound.pts))
            segment = segments[-1]
            segment.data += b"".join(chunks)
            segment.pts.append(unit.pts)
            segment.counters.append(numbers[unit.pts])
    for segment in segments:
        order = sorted(zip(segment.pts, segment.counters, strict=True))
        segment.pts = [pts & PTS_MASK for pts, _ in order]
        segment.counters = [n for _, n in order]
    return Clip(segments)


def _encode(part: Part) -> list[EncodedFrame]:
    spec = part.encoder
    pattern = Pattern(spec.width, spec.height, spec.fps)
    encoder = PictureEncoder(spec)
    units = []
    for i in range(part.frames):
        units += encoder.encode(pattern.render(part.first + i), part.pts(i))
    return units + encoder.flush()
