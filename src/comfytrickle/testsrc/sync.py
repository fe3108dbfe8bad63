"""How far sound and picture of a beeping test pattern are apart, read from a transport stream."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from comfytrickle.testsrc import counter
from comfytrickle.testsrc.beep import onsets, second_of, shows_flash
from comfytrickle.testsrc.reader import luma

_ROUNDING_S = 0.0015  # timestamps of transport streams in whole milliseconds


@dataclass(frozen=True, slots=True)
class Offset:
    """Of one second of the source: sound minus picture, in seconds; positive is late sound.

    ``true`` goes by the counters in the frames, so that it tells what happened to the timestamps;
    ``seen`` by the first frame that flashes, so that a frame which was left out counts too.
    """

    second: int
    true: float
    seen: float


@dataclass(frozen=True, slots=True)
class Heard:
    """The first track of sound, each sample where its frame's time says that it is.

    ``gaps``, ``overlaps``: seconds that are missing between frames, or are there twice.
    """

    samples: npt.NDArray[np.float32]  # [n], the first channel
    rate: int
    begins: float  # seconds on the stream's clock
    gaps: float
    overlaps: float


def hear(data: bytes) -> Heard:
    """Decode the sound of a transport stream. Raises ValueError where there is none."""
    parts: list[tuple[float, npt.NDArray[np.float32]]] = []
    begins: float | None = None
    expected, gaps, overlaps, rate = 0.0, 0.0, 0.0, 0
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        if not container.streams.audio:
            raise ValueError("the stream has no sound")
        resampler = av.AudioResampler("fltp", "mono")
        for frame in container.decode(audio=0):
            if frame.pts is None or frame.time_base is None:
                continue
            at = float(frame.pts * frame.time_base)
            rate = frame.sample_rate
            if begins is None:
                begins = expected = at
            if abs(at - expected) > _ROUNDING_S:
                gaps += max(0.0, at - expected)
                overlaps += max(0.0, expected - at)
            else:
                at = expected
            expected = at + frame.samples / rate
            parts += [(at - begins, one.to_ndarray()[0]) for one in resampler.resample(frame)]
    if begins is None:
        raise ValueError("the stream has no sound")
    samples = np.zeros(max(round(at * rate) + len(part) for at, part in parts), np.float32)
    for at, part in parts:
        samples[round(at * rate) : round(at * rate) + len(part)] = part
    return Heard(samples, rate, begins, gaps, overlaps)


def offsets(data: bytes, fps: Fraction | float = 30) -> list[Offset]:
    """For every full second of the source that is in the stream as a picture and as a beep.

    The source began at counter 0; its sound has no gaps (see hear).
    """
    rate = float(fps)
    numbered: list[tuple[int, float]] = []  # counter, time
    flashes: list[float] = []
    before = False
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        for frame in container.decode(video=0):
            y = luma(frame)
            n = counter.read(y)
            if n is None or frame.pts is None or frame.time_base is None:
                continue
            at = float(frame.pts * frame.time_base)
            numbered.append((n, at))
            flashing = shows_flash(y)
            if flashing and not before:
                flashes.append(at)
            before = flashing
    heard = hear(data)
    found = []
    for sample in onsets(heard.samples, heard.rate):
        sound = heard.begins + sample / heard.rate
        n, at = min(numbered, key=lambda one: abs(one[1] - sound))
        second = second_of(heard.samples, heard.rate, sample, n / rate)
        n, at = min(numbered, key=lambda one: abs(one[0] - second * rate))
        flash = min(flashes, key=lambda one: abs(one - at))
        if abs(n - second * rate) < rate / 2:
            found.append(Offset(second, sound - (at - n / rate + second), sound - flash))
    return found
