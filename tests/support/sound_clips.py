"""Clips with sound as libavformat muxes it: H.264 and AAC, Opus, MP2, MP3; they flash and beep."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import CLOCK, AccessUnit
from comfytrickle.testsrc.beep import beeps, is_flash
from comfytrickle.testsrc.pattern import Pattern

FPS = 30
SIZE = 128
_ENCODERS = {"aac": "aac", "opus": "libopus", "mp2": "mp2", "mp3": "libmp3lame"}


@dataclass
class SoundClip:
    """``units``: (pts, payload) of each PES packet of the sound, as it stands in the segments."""

    segments: list[bytes] = field(default_factory=list)  # a second each
    units: list[tuple[int, bytes]] = field(default_factory=list)
    frames: int = 0

    @property
    def data(self) -> bytes:
        return b"".join(self.segments)


def sound_clip(
    codec: str = "aac",
    seconds: int = 4,
    *,
    video: bool = True,
    rate: int = 48_000,
    silent: tuple[float, float] | None = None,
) -> SoundClip:
    """Counter 0 and sample 0 are of the same moment. ``silent``: seconds between which the source
    sends no sound at all."""
    whole = _by_libavformat(codec, seconds, video=video, rate=rate)
    demuxer = Demuxer()
    units = [*demuxer.feed(whole, 0.0), *demuxer.flush(0.0)]
    leading = "video" if video else "audio"
    first = min(u.pts for u in units if u.stream.kind == leading and u.pts is not None)
    muxer = Muxer(list(demuxer.streams.values()))
    clip = SoundClip()
    for unit in sorted(units, key=_when):
        assert unit.pts is not None
        at = (unit.pts - first) / CLOCK
        is_video = unit.stream.kind == "video"
        if at < 0 or (not is_video and silent is not None and silent[0] <= at < silent[1]):
            continue
        if len(clip.segments) <= int(at) and (is_video or not video):
            clip.segments.append(muxer.tables())
        written = muxer.write(
            unit.stream.pid,
            unit.data,
            unit.pts,
            unit.dts,
            keyframe=unit.random_access and is_video,
            stream_id=unit.stream_id,
        )
        clip.segments[-1] += written
        clip.frames += is_video
        if not is_video:
            clip.units.append((unit.pts, unit.data))
    return clip


def sound_units(data: bytes) -> list[tuple[int, bytes]]:
    """(pts, payload) of each PES packet of sound in a transport stream."""
    demuxer = Demuxer()
    units = [*demuxer.feed(data, 0.0), *demuxer.flush(0.0)]
    return [(u.pts, u.data) for u in units if u.stream.kind == "audio" and u.pts is not None]


def sound_codecs(data: bytes) -> set[str | None]:
    """Of the tracks of sound that a transport stream names."""
    demuxer = Demuxer()
    demuxer.feed(data, 0.0)
    return {stream.codec for stream in demuxer.streams.values() if stream.kind == "audio"}


def _when(unit: AccessUnit) -> tuple[int, bool]:
    return unit.dts if unit.dts is not None else unit.pts or 0, unit.stream.kind != "video"


def _by_libavformat(codec: str, seconds: int, *, video: bool, rate: int) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="mpegts") as made:
        pictures = None
        if video:
            options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(FPS)}
            pictures = made.add_stream("libx264", rate=FPS, options=options)
            pictures.width = pictures.height = SIZE
            pictures.pix_fmt = "yuv420p"
        sound = made.add_stream(_ENCODERS[codec], rate=rate, layout="stereo")
        size = sound.codec_context.frame_size or 1024
        for second in range(seconds):
            if pictures is not None:
                for frame in _frames(second):
                    made.mux(pictures.encode(frame))
            for piece in _pieces(second, seconds, size, rate, sound.codec_context.format.name):
                made.mux(sound.encode(piece))
        if pictures is not None:
            made.mux(pictures.encode(None))
        made.mux(sound.encode(None))
    return out.getvalue()


def _frames(second: int) -> Iterator[av.VideoFrame]:
    pattern = Pattern(SIZE, SIZE, FPS)
    for n in range(second * FPS, (second + 1) * FPS):
        picture = pattern.render(n, flash=is_flash(n, FPS))
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = n, Fraction(1, FPS)
        yield frame


def _pieces(second: int, seconds: int, size: int, rate: int, form: str) -> Iterator[av.AudioFrame]:
    """The encoder's frames that begin in this second."""
    first = -(-second * rate // size)
    last = -(-(second + 1) * rate // size)
    resampler = av.AudioResampler(form, "stereo", rate)
    for number in range(first, last):
        wave = beeps(number * size, size, rate)
        both = np.ascontiguousarray(np.stack([wave, wave]))
        frame = av.AudioFrame.from_ndarray(both, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, number * size, Fraction(1, rate)
        for one in resampler.resample(frame):
            one.pts, one.time_base = number * size, Fraction(1, rate)
            yield one
