"""Samples in, coded sound for the muxer out. One thread uses a SoundEncoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from comfytrickle.mpegts.adts import AdtsFramer
from comfytrickle.mpegts.stream_types import PRIVATE_PES
from comfytrickle.mpegts.units import ElementaryStream
from workers.sound.anchor import Anchor
from workers.sound.blocks import Blocks
from workers.sound.errors import UnsupportedSound
from workers.sound.mix import to_stereo
from workers.sound.opus import opus_descriptors, with_control_header
from workers.sound.resample import Resampler
from workers.sound.sound import Samples, Sound

RATE = 48_000
_CHANNELS = 2
_TIME_BASE = Fraction(1, RATE)


@dataclass(frozen=True, slots=True)
class _Codec:
    encoder: str
    sample_format: str
    options: dict[str, str]
    stream_type: int  # ISO/IEC 13818-1 table 2-34
    descriptors: bytes


_CODECS = {
    "aac": _Codec("aac", "fltp", {}, 0x0F, b""),
    "opus": _Codec(
        "libopus",
        "flt",
        {"application": "audio", "frame_duration": "20"},
        PRIVATE_PES,
        opus_descriptors(_CHANNELS),
    ),
}


@dataclass(frozen=True, slots=True)
class EncodedSound:
    """The payload of one PES packet: an ADTS frame, or an Opus packet with its control header."""

    data: bytes
    pts: int  # 90 kHz


class SoundEncoder:
    """Encodes 48 kHz stereo, from sound of any rate and channels; both may change as they like.

    ``bitrate`` in bits per second. Holes and overlaps are treated as workers.sound.anchor says.
    The encoder's own delay is in the pts, so that a decoder's output is where the sound was; the
    first packet therefore begins a little before the first sound, and is left out where that would
    be before 0 or in what was given already.
    Raises UnsupportedSound for another codec, a bitrate that it does not take, or where this build
    of PyAV lacks the encoder.
    """

    def __init__(self, codec: str, bitrate: int = 128_000) -> None:
        known = _CODECS.get(codec)
        if known is None:
            raise UnsupportedSound(f"no encoder for {codec!r}: one of {', '.join(_CODECS)}")
        self.codec = codec
        self._setup = known
        self._bitrate = bitrate
        self._anchor = Anchor(RATE)
        self._resampler = Resampler(RATE)
        self._context: av.AudioCodecContext | None = self._open()
        self._payload = self._payload_of(self._context)
        self._blocks = Blocks(self._context.frame_size)
        self._index = 0  # of the next block's first sample
        self._last_pts = -1

    @property
    def rate(self) -> int:
        """Samples per second of what comes out."""
        return RATE

    def stream(self, pid: int) -> ElementaryStream:
        """What the muxer puts in its tables."""
        setup = self._setup
        return ElementaryStream(pid, setup.stream_type, "audio", self.codec, setup.descriptors)

    def encode(self, sound: Sound) -> list[EncodedSound]:
        """What ``sound`` completes, in order of pts."""
        if not sound.count:
            return []
        placing = self._anchor.plan(sound.pts, sound.count, sound.rate)
        done = self._finish() if placing.fresh else []
        self._anchor.take(placing, sound.pts, sound.count, sound.rate)
        samples = to_stereo(sound.samples[:, placing.cut :])
        if placing.silence:
            silence = np.zeros((_CHANNELS, placing.silence), np.float32)
            samples = np.concatenate((silence, samples), axis=1)
        if samples.shape[1]:
            for piece in self._resampler.push(samples, sound.rate):
                done += self._encode(self._blocks.push(piece))
        return done

    def flush(self) -> list[EncodedSound]:
        """All that is inside; the last frame is filled up with silence. It can go on after that."""
        done = self._finish()
        self._anchor.restart()
        return done

    def close(self) -> None:
        """Give up what is inside. Idempotent."""
        self._context = None
        self._resampler = Resampler(RATE)
        self._blocks.clear()
        self._anchor.restart()
        self._index = 0

    def _open(self) -> av.AudioCodecContext:
        setup = self._setup
        try:
            context = av.CodecContext.create(setup.encoder, "w")
        except ValueError as error:  # av's UnknownCodecError is one
            raise UnsupportedSound(f"this build of PyAV has no {setup.encoder}") from error
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = RATE
        context.layout = "stereo"
        context.format = setup.sample_format
        context.time_base = _TIME_BASE
        context.bit_rate = self._bitrate
        context.options = dict(setup.options)
        try:
            context.open()
        except av.FFmpegError as error:
            raise UnsupportedSound(
                f"{setup.encoder} does not open at {self._bitrate} bit/s: {error.strerror}"
            ) from error
        return context

    def _payload_of(self, context: av.AudioCodecContext) -> Callable[[bytes], bytes]:
        if self.codec == "aac":
            return AdtsFramer(context.extradata or b"").frame
        return with_control_header

    def _encode(self, blocks: list[Samples]) -> list[EncodedSound]:
        done: list[EncodedSound] = []
        for block in blocks:
            if self._context is None:
                self._context = self._open()
            done += self._packets(self._context, self._frame(block))
        return done

    def _finish(self) -> list[EncodedSound]:
        done: list[EncodedSound] = []
        for piece in self._resampler.flush():
            done += self._encode(self._blocks.push(piece))
        done += self._encode(self._blocks.flush())
        if self._index and self._context is not None:
            done += self._packets(self._context, None)
            self._context = None  # an encoder that was drained takes nothing more
        self._index = 0
        return done

    def _frame(self, block: Samples) -> av.AudioFrame:
        if self._setup.sample_format == "flt":
            block = block.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block), format=self._setup.sample_format, layout="stereo"
        )
        frame.sample_rate = RATE
        frame.pts = self._index
        frame.time_base = _TIME_BASE
        self._index += self._blocks.size
        return frame

    def _packets(
        self, context: av.AudioCodecContext, frame: av.AudioFrame | None
    ) -> list[EncodedSound]:
        done: list[EncodedSound] = []
        for packet in context.encode(frame):
            index = packet.pts
            assert index is not None  # both encoders tell it of every packet
            pts = self._anchor.pts(index)
            if pts <= self._last_pts:
                if index < 0:
                    continue  # what the decoder needs before the first sample, best as it may be
                pts = self._last_pts + 1
            self._last_pts = pts
            done.append(EncodedSound(self._payload(bytes(packet)), pts))
        return done
