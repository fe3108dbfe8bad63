"""A tone as AAC, for clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from comfytrickle.mpegts.adts import AdtsFramer
from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.beep import beeps

FRAME_SAMPLES = 1024


@dataclass(frozen=True, slots=True)
class AudioUnit:
    """One ADTS frame; ``pts`` in 90 kHz ticks."""

    data: bytes
    pts: int


class Tone:
    """A sine as AAC, stereo.

    ``hz`` the pitch, ``rate`` samples per second; the first unit's pts is ``start_pts``. With
    ``beep`` it is the sound of :mod:`comfytrickle.testsrc.beep` instead.
    """

    def __init__(
        self, start_pts: int, hz: float = 440.0, rate: int = 48_000, *, beep: bool = False
    ) -> None:
        self._start = start_pts
        self._hz = hz
        self._rate = rate
        self._beep = beep
        self._sample = 0
        self._context = av.CodecContext.create("aac", "w")
        self._context.sample_rate = rate
        self._context.layout = "stereo"
        self._context.format = "fltp"
        self._context.time_base = Fraction(1, rate)
        self._context.bit_rate = 64_000
        self._context.open()
        self._framer = AdtsFramer(self._context.extradata or b"")
        self._ready: list[AudioUnit] = []

    def until(self, pts: int) -> Iterator[AudioUnit]:
        """The units that begin before ``pts`` and were not given yet."""
        while self._pts(self._sample) < pts:
            self._encode()
        while self._ready and self._ready[0].pts < pts:
            yield self._ready.pop(0)

    def _encode(self) -> None:
        if self._beep:
            wave = beeps(self._sample, FRAME_SAMPLES, self._rate)
        else:
            t = (self._sample + np.arange(FRAME_SAMPLES)) / self._rate
            wave = (0.2 * np.sin(2 * np.pi * self._hz * t)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        frame.sample_rate = self._rate
        frame.pts = self._sample
        frame.time_base = Fraction(1, self._rate)
        self._sample += FRAME_SAMPLES
        for packet in self._context.encode(frame):
            # the encoder's first packet is priming, before sample 0: it is not given
            if packet.pts is not None and packet.pts >= 0:
                unit = AudioUnit(self._framer.frame(bytes(packet)), self._pts(packet.pts))
                self._ready.append(unit)

    def _pts(self, sample: int) -> int:
        return self._start + sample * CLOCK // self._rate
