"""For files whose codecs MPEG-TS does not carry: video to H.264, audio to AAC."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

from comfytrickle.errors import InvalidInput
from comfytrickle.mpegts.adts import AdtsFramer
from comfytrickle.mpegts.units import CLOCK, ElementaryStream
from comfytrickle.testsrc.aac import FRAME_SAMPLES
from comfytrickle.testsrc.encoder import EncodedFrame, EncoderSpec, PictureEncoder

_AAC_RATE = 48_000


class H264Transcoder:
    """Decodes packets of ``source`` and encodes the pictures in H.264, one-second GOPs.

    An odd row or column is cut off. When the picture's size changes, a new encoder begins.
    """

    def __init__(self, source: av.VideoStream, stream: ElementaryStream) -> None:
        self.stream = stream
        self._source = source
        self._fps = source.average_rate or Fraction(30)
        self._encoder: PictureEncoder | None = None
        self._last_pts: int | None = None

    def convert(self, packet: av.Packet[Any] | None) -> list[EncodedFrame]:
        out: list[EncodedFrame] = []
        for frame in self._source.codec_context.decode(packet):
            out += self._encode(frame)
        if packet is None and self._encoder is not None:
            out += self._encoder.flush()
            self._encoder = None
        return out

    def _encode(self, frame: av.VideoFrame) -> list[EncodedFrame]:
        if frame.pts is None or frame.time_base is None:
            raise InvalidInput("file", "a video frame without a timestamp")
        pts = int(frame.pts * frame.time_base * CLOCK)
        if self._last_pts is not None and pts <= self._last_pts:
            return []  # a frame shown for no time at all, as some GIFs have
        self._last_pts = pts
        width, height = frame.width & ~1, frame.height & ~1
        out: list[EncodedFrame] = []
        if self._encoder is not None:
            spec = self._encoder.spec
            if (spec.width, spec.height) != (width, height):
                out += self._encoder.flush()
                self._encoder = None
        if self._encoder is None:
            spec = EncoderSpec(width, height, self._fps, gop=max(1, round(self._fps)))
            self._encoder = PictureEncoder(spec)
        rgb = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
        out += self._encoder.encode(np.ascontiguousarray(rgb[:height, :width]), pts)
        return out


class AacTranscoder:
    """Decodes packets of ``source`` and encodes them as AAC (ADTS), stereo, 48 kHz."""

    def __init__(self, source: av.AudioStream, stream: ElementaryStream) -> None:
        self.stream = stream
        self._source = source
        self._resampler = av.AudioResampler("fltp", "stereo", _AAC_RATE, frame_size=FRAME_SAMPLES)
        self._encoder = av.CodecContext.create("aac", "w")
        self._encoder.sample_rate = _AAC_RATE
        self._encoder.layout = "stereo"
        self._encoder.format = "fltp"
        self._encoder.time_base = Fraction(1, _AAC_RATE)
        self._encoder.open()
        self._framer = AdtsFramer(self._encoder.extradata or b"")

    def convert(self, packet: av.Packet[Any] | None) -> list[EncodedFrame]:
        frames = [f for d in self._source.codec_context.decode(packet) for f in self._resample(d)]
        if packet is None:
            frames += self._resample(None)
        packets = [p for frame in frames for p in self._encoder.encode(frame)]
        if packet is None:
            packets += self._encoder.encode(None)
        out = []
        for encoded in packets:
            if encoded.pts is not None:
                pts = int(encoded.pts * encoded.time_base * CLOCK)
                out.append(EncodedFrame(self._framer.frame(bytes(encoded)), pts, pts, True))
        return out

    def _resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        return self._resampler.resample(frame)
