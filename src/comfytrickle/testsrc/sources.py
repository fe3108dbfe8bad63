"""What `comfytrickle publish` sends: pieces of a transport stream with the time each is due."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.aac import Tone
from comfytrickle.testsrc.beep import is_flash
from comfytrickle.testsrc.clip import AUDIO_PID, STREAMS, VIDEO_PID
from comfytrickle.testsrc.encoder import EncoderSpec, PictureEncoder
from comfytrickle.testsrc.pattern import Pattern


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole TS packets of one access unit.

    ``dts`` in 90 kHz ticks, unwrapped; a source begins at CLOCK (one second). ``pts`` likewise.
    ``video`` is False for audio. ``begins_segment``: decoding can start here.
    """

    data: bytes
    dts: int
    pts: int
    video: bool = True
    begins_segment: bool = False


def pattern_chunks(
    spec: EncoderSpec, frames: int | None = None, *, beep: bool = False
) -> Iterator[Chunk]:
    """The test pattern, encoded frame by frame as it is asked for; endless without ``frames``.

    Frame n has counter n and pts CLOCK + n / fps. With ``beep`` it flashes and beeps at every full
    second (:mod:`comfytrickle.testsrc.beep`). Raises InvalidInput for sizes that cannot be.
    """
    pattern = Pattern(spec.width, spec.height, spec.fps)
    encoder = PictureEncoder(spec)
    tone = Tone(CLOCK, beep=True) if beep else None
    muxer = Muxer([STREAMS[spec.codec], *([STREAMS["aac"]] if beep else [])])
    picture = pattern.render(0)
    n = 0
    while frames is None or n < frames:
        pts = CLOCK + int(n * CLOCK / spec.fps)
        flash = beep and is_flash(n, spec.fps)
        units = encoder.encode(pattern.render(n, picture, flash=flash), pts)
        n += 1
        if n == frames:
            units += encoder.flush()
        for unit in units:
            tables = muxer.tables() if unit.keyframe else b""
            data = muxer.write(VIDEO_PID, unit.data, unit.pts, unit.dts, keyframe=unit.keyframe)
            yield Chunk(tables + data, unit.dts, unit.pts, begins_segment=unit.keyframe)
        for sound in tone.until(pts + 1) if tone is not None else ():
            data = muxer.write(AUDIO_PID, sound.data, sound.pts)
            yield Chunk(data, sound.pts, sound.pts, video=False)
