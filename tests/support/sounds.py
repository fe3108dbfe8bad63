"""Coded sound with a click at a known time, from libavcodec's encoders."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from comfytrickle.mpegts.adts import AdtsFramer
from comfytrickle.mpegts.units import CLOCK
from workers.sound.framing import Splitter
from workers.sound.opus import with_control_header
from workers.sound.sound import Sound

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 5: "5.0", 6: "5.1"}

_ENCODERS = {
    "aac": ("aac", "fltp"),
    "mp2": ("mp2", "s16"),
    "mp3": ("libmp3lame", "fltp"),
    "ac3": ("ac3", "fltp"),
    "eac3": ("eac3", "fltp"),
    "opus": ("libopus", "flt"),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """One coded frame as a PES payload; ``pts`` in 90 kHz ticks."""

    data: bytes
    pts: int


def click(seconds: float, at: float, rate: int, channels: int = 2) -> npt.NDArray[np.float32]:
    """Silence with a millisecond of near full scale at ``at`` seconds."""
    samples = np.zeros((channels, round(seconds * rate)), np.float32)
    first = round(at * rate)
    samples[:, first : first + rate // 1000] = 0.8
    return samples


def tone(
    seconds: float, rate: int, channels: int = 2, hz: float = 440.0
) -> npt.NDArray[np.float32]:
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave.astype(np.float32)[None], channels, axis=0)


def coded(
    codec: str,
    samples: npt.NDArray[np.float32],
    rate: int,
    start: int,
    options: dict[str, str] | None = None,
) -> list[Unit]:
    """``samples`` [channels, n], whose first is at ``start``, as the frames of ``codec``."""
    if codec == "aac_latm":
        return _latm(samples, rate, start)
    name, sample_format = _ENCODERS[codec]
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = rate
    context.layout = LAYOUTS[samples.shape[0]]
    context.format = sample_format
    context.time_base = Fraction(1, rate)
    context.bit_rate = 64_000 * samples.shape[0]
    context.options = options or {}
    context.open()
    frame = _frame(samples, rate, sample_format)
    packets = [*context.encode(frame), *context.encode(None)]
    if codec == "aac":
        framer = AdtsFramer(context.extradata or b"")
        payloads = [framer.frame(bytes(packet)) for packet in packets]
    elif codec == "opus":
        payloads = [with_control_header(bytes(packet)) for packet in packets]
    else:
        payloads = [bytes(packet) for packet in packets]
    return [
        Unit(payload, start + round(packet.pts * CLOCK / rate))
        for payload, packet in zip(payloads, packets, strict=True)
        if packet.pts is not None
    ]


def _frame(samples: npt.NDArray[np.float32], rate: int, sample_format: str) -> av.AudioFrame:
    planes: npt.NDArray[np.float32] | npt.NDArray[np.int16] = samples
    if sample_format in ("flt", "s16"):
        planes = samples.T.reshape(1, -1)
    if sample_format == "s16":
        planes = np.round(planes * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(planes), format=sample_format, layout=LAYOUTS[samples.shape[0]]
    )
    frame.sample_rate = rate
    frame.pts = 0
    frame.time_base = Fraction(1, rate)
    return frame


def _latm(samples: npt.NDArray[np.float32], rate: int, start: int) -> list[Unit]:
    """With the configuration in every frame, as libavformat's muxer makes them."""
    file = io.BytesIO()
    with av.open(file, "w", format="latm", options={"smc-interval": "1"}) as container:
        stream = container.add_stream("aac", rate=rate)
        stream.layout = LAYOUTS[samples.shape[0]]
        packets = [*stream.encode(_frame(samples, rate, "fltp")), *stream.encode(None)]
        times = [start + round((packet.pts or 0) * CLOCK / rate) for packet in packets]
        container.mux(packets)
    frames = [one.frame.data for one in Splitter("aac_latm").feed(file.getvalue())]
    return [Unit(data, pts) for data, pts in zip(frames, times, strict=True)]


def onset(sounds: Iterable[Sound]) -> float:
    """The 90 kHz time of the first loud sample."""
    for sound in sounds:
        loud = np.flatnonzero(np.abs(sound.samples[0]) > 0.25)
        if loud.size:
            return sound.pts + float(loud[0]) * CLOCK / sound.rate
    raise AssertionError("no click")
