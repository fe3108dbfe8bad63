"""AAC for clips and for republished files: the ADTS header, and a tone.

MPEG-TS carries AAC as ADTS (stream type 0x0f); MP4 and encoders give raw frames and keep what an
ADTS header says in an AudioSpecificConfig beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from comfytrickle.errors import InvalidInput
from comfytrickle.mpegts.units import CLOCK

FRAME_SAMPLES = 1024
_MAX_FRAME = (1 << 13) - 1


class AdtsFramer:
    """Puts an ADTS header (ISO/IEC 13818-7, 6.2) before raw AAC frames.

    ``config`` is the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1); InvalidInput for what ADTS
    cannot say: object types above 4 (HE-AAC is signalled as its LC core), explicit sample rates,
    a channel layout in a program config element.
    """

    def __init__(self, config: bytes) -> None:
        if len(config) < 2:
            raise InvalidInput("audio", "AAC without an AudioSpecificConfig")
        head = int.from_bytes(config[:4].ljust(4, b"\0"), "big")
        object_type = head >> 27
        rate_index = head >> 23 & 0xF
        channels = head >> 19 & 0xF
        if object_type in (5, 29):  # SBR, PS: the type of the core follows the extension's rate
            if head >> 15 & 0xF == 0xF:
                raise InvalidInput("audio", "AAC with an explicit sample rate does not fit ADTS")
            object_type = head >> 10 & 0x1F
        if not 1 <= object_type <= 4:
            raise InvalidInput("audio", f"AAC object type {object_type} does not fit ADTS")
        if rate_index > 12:
            raise InvalidInput("audio", "AAC with an explicit sample rate does not fit ADTS")
        if not 1 <= channels <= 7:
            raise InvalidInput("audio", "AAC without a standard channel layout does not fit ADTS")
        # syncword, MPEG-4, layer 0, no CRC | profile, rate, channels; the length comes per frame
        self._fixed = 0xFFF1 << 40 | (object_type - 1) << 38 | rate_index << 34 | channels << 30

    def frame(self, raw: bytes) -> bytes:
        """``raw`` with its header. Raises InvalidInput for a frame longer than ADTS can say."""
        length = len(raw) + 7
        if length > _MAX_FRAME:
            raise InvalidInput("audio", f"AAC frame of {len(raw)} bytes does not fit ADTS")
        # frame length, buffer fullness 0x7ff (variable rate), one raw data block
        header = self._fixed | length << 13 | 0x7FF << 2
        return header.to_bytes(7, "big") + raw


@dataclass(frozen=True, slots=True)
class AudioUnit:
    """One ADTS frame; ``pts`` in 90 kHz ticks."""

    data: bytes
    pts: int


class Tone:
    """A sine as AAC, stereo.

    ``hz`` the pitch, ``rate`` samples per second; the first unit's pts is ``start_pts``.
    """

    def __init__(self, start_pts: int, hz: float = 440.0, rate: int = 48_000) -> None:
        self._start = start_pts
        self._hz = hz
        self._rate = rate
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
