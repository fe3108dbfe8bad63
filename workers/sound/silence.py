"""Silent frames to put between the frames of a track that is passed on as it came.

Made by libavcodec from zeros. A frame of another encoder decodes between those of a track as long
as its parameters are theirs: no frame made here draws on the one before it (a bit reservoir).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from workers.sound.framing import CodedFrame
from workers.sound.opus import RATE as OPUS_RATE
from workers.sound.opus import with_control_header

_BITRATE = 64_000  # for each channel: what every encoder takes at every rate
_SETTLED = 5  # packets until an encoder's own start is over

_ADTS_HEADER = 7
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_AC3_LAYOUTS = {1: "mono", 2: "stereo", 5: "5.0(side)", 6: "5.1(side)"}
_OPUS_SAMPLES = (2880, 1920, 960, 480, 240, 120)


def silent_unit(frame: CodedFrame, codec: str) -> bytes | None:
    """A payload that lasts as long as ``frame``, silent, with its rate and channels.

    None where no encoder makes one: MPEG layer I, LATM, channels without a usual layout. For
    HE-AAC it is a frame of the core, which sounds at the rate and channels of the rest.
    """
    if not frame.channels or not frame.samples:
        return None
    if codec == "aac":
        return _aac(frame)
    if codec in ("mp2", "mp3"):
        return _mpeg_audio(frame)
    if codec in ("ac3", "eac3"):
        return _ac3(frame)
    return _opus(frame) if codec == "opus" else None


def _aac(frame: CodedFrame) -> bytes | None:
    layout = _LAYOUTS.get(frame.channels)
    if layout is None or frame.samples != 1024:
        return None
    raw = _encoded("aac", "fltp", frame.rate, layout)
    if raw is None:
        return None
    # The frame's own fixed header (28 bits), so that nothing seems to change; but without a CRC.
    fixed = int.from_bytes(frame.data[:4], "big") >> 4 << 28 | 1 << 40
    length = _ADTS_HEADER + len(raw)
    return (fixed | length << 13 | 0x7FF << 2).to_bytes(_ADTS_HEADER, "big") + raw


def _mpeg_audio(frame: CodedFrame) -> bytes | None:
    layer = 4 - (frame.data[1] >> 1 & 3)
    layout = _LAYOUTS[frame.channels]
    if layer == 2:
        return _encoded("mp2", "s16", frame.rate, layout)
    if layer == 3:
        return _encoded("libmp3lame", "fltp", frame.rate, layout, (("reservoir", "0"),))
    return None


def _ac3(frame: CodedFrame) -> bytes | None:
    layout = _AC3_LAYOUTS.get(frame.channels)
    if layout is None or frame.samples != 1536:
        return None
    enhanced = frame.data[5] >> 3 > 10  # bsid
    return _encoded("eac3" if enhanced else "ac3", "fltp", frame.rate, layout)


def _opus(frame: CodedFrame) -> bytes | None:
    if frame.channels > 2:
        return None
    units = b""
    left = frame.samples
    for samples in _OPUS_SAMPLES:
        while left >= samples:
            options = (("frame_duration", str(samples / 48)),)
            packet = _encoded("libopus", "flt", OPUS_RATE, _LAYOUTS[frame.channels], options)
            if packet is None:
                return None
            units += with_control_header(packet)
            left -= samples
    return units


@lru_cache(maxsize=32)
def _encoded(
    encoder: str,
    sample_format: str,
    rate: int,
    layout: str,
    options: tuple[tuple[str, str], ...] = (),
) -> bytes | None:
    """One packet of zeros, out of the middle; None where the encoder does not do that."""
    try:
        context = av.CodecContext.create(encoder, "w")
    except ValueError:  # av's UnknownCodecError is one
        return None
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = rate
    context.layout = layout
    context.format = sample_format
    context.time_base = Fraction(1, rate)
    channels = context.layout.nb_channels
    context.bit_rate = _BITRATE * channels
    context.options = dict(options)
    try:
        context.open()
        count = 2 * _SETTLED * context.frame_size
        shape = (channels, count) if sample_format.endswith("p") else (1, channels * count)
        zeros = np.zeros(shape, np.int16 if sample_format.startswith("s16") else np.float32)
        frame = av.AudioFrame.from_ndarray(zeros, format=sample_format, layout=layout)
        frame.sample_rate = rate
        frame.pts = 0
        frame.time_base = Fraction(1, rate)
        packets = context.encode(frame)
    except av.FFmpegError:
        return None
    return bytes(packets[_SETTLED])
