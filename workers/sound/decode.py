"""Coded sound in, samples out. One thread uses a SoundDecoder."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from comfytrickle.mpegts.units import CLOCK
from workers.sound.errors import UnsupportedSound
from workers.sound.framing import CodedFrame, Splitter
from workers.sound.opus import opus_channels, opus_head
from workers.sound.sound import Sound, ticks

_TIME_BASE = Fraction(1, CLOCK)

# By codec as stream_types names it: decoders of libavcodec that give planar floats, one frame of
# sound for one of code. That of MP3 reads layers I and II as well.
_DECODERS = {
    "aac": "aac",
    "aac_latm": "aac_latm",
    "mp2": "mp3float",
    "mp3": "mp3float",
    "ac3": "ac3",
    "eac3": "eac3",
    "opus": "opus",
}


class SoundDecoder:
    """Decodes the PES payloads of one track, at the source's own rate and channels.

    A change of either in the stream is taken as it comes. ``damaged`` counts places where bytes
    were no frame, and frames that the decoder refused; the next frame is decoded again, and its
    pts tells that something is missing.

    The pts of what comes out is that of the PES packet, counted on in samples: encoders put their
    delay into the timestamps they give (ISO/IEC 13818-1 times what a decoder puts out), so nothing
    is to be added or cut here; the trimming that an Opus header may ask for is left undone.
    Raises UnsupportedSound for a codec that cannot be decoded.
    """

    def __init__(self, codec: str, descriptors: bytes = b"") -> None:
        self.codec = codec
        self._splitter = Splitter(codec, descriptors)
        self._context = _new_context(codec, descriptors)
        self._refused = 0
        self._begun = False
        # What comes next begins _counted samples of _rate after _base.
        self._base = 0
        self._counted = 0
        self._rate = 1

    @property
    def damaged(self) -> int:
        return self._splitter.damaged + self._refused

    def decode(self, data: bytes, pts: int, *, damaged: bool = False) -> list[Sound]:
        """The sound that the payload ``data`` completes.

        ``pts`` in 90 kHz ticks, of the first frame that begins in it. ``damaged``: bytes are
        missing in it or before it.
        """
        if damaged:
            self._splitter.reset()
        sounds: list[Sound] = []
        for stamped in self._splitter.feed(data, pts):
            if stamped.pts is not None:
                self._base, self._counted = stamped.pts, 0
            frame = stamped.frame
            if frame.rate and not frame.samples:
                continue  # channels beyond the frame before it, which sounds well without
            sounds += self._decoded(frame)
        return sounds

    def flush(self) -> list[Sound]:
        """What the decoder still holds; a frame that is not whole is given up."""
        self._splitter.reset()
        if not self._begun:
            return []
        try:
            pictures = self._context.decode(None)
        except av.FFmpegError:
            self._refused += 1
            pictures = []
        self._context.flush_buffers()
        return [self._sound(picture) for picture in pictures]

    def close(self) -> None:
        """Give up what is inside. Idempotent."""
        self._splitter.reset()
        if self._begun:
            self._context.flush_buffers()

    def _decoded(self, frame: CodedFrame) -> list[Sound]:
        packet = av.Packet(frame.data[frame.skip :])
        packet.pts = self._now()
        packet.time_base = _TIME_BASE
        self._begun = True
        sounds: list[Sound] = []
        try:
            sounds = [self._sound(one) for one in self._context.decode(packet)]
        except av.FFmpegError:
            self._refused += 1
        if frame.rate:
            self._count(frame.samples, frame.rate)
        else:
            for sound in sounds:
                self._count(sound.count, sound.rate)
        return sounds

    def _sound(self, decoded: av.AudioFrame) -> Sound:
        pts = decoded.pts if decoded.pts is not None else self._now()
        samples = np.asarray(decoded.to_ndarray(), np.float32)  # which it is: see _DECODERS
        return Sound(samples, decoded.sample_rate, pts)

    def _now(self) -> int:
        return self._base + ticks(self._counted, self._rate)

    def _count(self, samples: int, rate: int) -> None:
        if rate != self._rate:
            self._base, self._counted, self._rate = self._now(), 0, rate
        self._counted += samples


def _new_context(codec: str, descriptors: bytes) -> av.AudioCodecContext:
    name = _DECODERS[codec]  # a Splitter was made for it
    try:
        context = av.CodecContext.create(name, "r")
    except ValueError as error:  # av's UnknownCodecError is one
        raise UnsupportedSound(f"this build of PyAV has no decoder {name!r}") from error
    assert isinstance(context, av.AudioCodecContext)
    if codec == "opus":
        context.extradata = opus_head(opus_channels(descriptors))
    return context
