"""Real MPEG-TS written by libavformat, and what its own demuxer says is in it."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np


@dataclass(frozen=True)
class Packet:
    """One packet as libavformat reads it; pts and dts in 90 kHz ticks."""

    kind: str
    data: bytes
    pts: int | None
    dts: int | None
    keyframe: bool


def encode(
    codec: str = "libx264",
    *,
    frames: int = 30,
    width: int = 192,
    height: int = 128,
    gop: int = 10,
    bframes: int = 0,
    audio: bool = False,
    options: dict[str, str] | None = None,
    noise: int = 24,
) -> bytes:
    """A transport stream at 30 fps: a moving ramp under noise, so that frames have some size."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="mpegts") as out:
        video = out.add_stream(codec, rate=30)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.gop_size = gop
        video.codec_context.max_b_frames = bframes
        video.codec_context.thread_count = 1
        if codec == "libx265":
            params = f"log-level=none:bframes={bframes}:keyint={gop}:min-keyint={gop}:pools=1"
            video.options = {"preset": "ultrafast", "x265-params": params, **(options or {})}
        else:
            params = f"bframes={bframes}:b-adapt=0:scenecut=0"
            video.options = {"preset": "veryfast", "x264-params": params, **(options or {})}
        sound: av.AudioStream | None = None
        if audio:
            sound = out.add_stream("aac", rate=48000, layout="mono")
        rng = np.random.default_rng(1)
        samples = 0
        for index in range(frames):
            out.mux(video.encode(_picture(rng, width, height, index, noise)))
            while sound is not None and samples < (index + 1) * 1600:
                out.mux(sound.encode(_tone(samples)))
                samples += 1024
        out.mux(video.encode(None))
        if sound is not None:
            out.mux(sound.encode(None))
    return sink.getvalue()


def _picture(
    rng: np.random.Generator, width: int, height: int, index: int, noise: int
) -> av.VideoFrame:
    ramp = np.add.outer(np.arange(height) * 2, np.arange(width)) + index * 5
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = ramp % 200
    image[..., 1] = (ramp // 2) % 200
    image += rng.integers(0, noise, image.shape, dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    frame.pts, frame.time_base = index, Fraction(1, 30)
    return frame


def _tone(at: int) -> av.AudioFrame:
    wave = np.sin((np.arange(1024) + at) * 0.0576).astype(np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, at, Fraction(1, 48000)
    return frame


def packets(data: bytes, kind: str | None = "video") -> list[Packet]:
    """What libavformat finds in ``data``."""
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        return [
            Packet(p.stream.type, bytes(p), p.pts, p.dts, p.is_keyframe)
            for p in container.demux()
            if p.size and (kind is None or p.stream.type == kind)
        ]


def decoded(data: bytes) -> list[tuple[int | None, bytes]]:
    """(pts, luma) of each picture that libavcodec decodes, in order of presentation."""
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        return [
            (frame.pts, frame.to_ndarray(format="gray").tobytes())
            for frame in container.decode(video=0)
        ]


def chunked(data: bytes, seed: int, largest: int) -> list[bytes]:
    """``data`` in pieces of 1 to ``largest`` bytes."""
    rng = random.Random(seed)
    out = []
    at = 0
    while at < len(data):
        size = rng.randint(1, largest)
        out.append(data[at : at + size])
        at += size
    return out


def ts_packet(
    pid: int,
    payload: bytes,
    cc: int,
    *,
    start: bool = False,
    field: bytes | None = None,
    flags: int = 0,
) -> bytes:
    """One packet by hand. ``field``: the adaptation field after its length byte; None: none, and
    then ``payload`` must fill the packet. ``flags`` are ored into the header word."""
    word = 0x47 << 24 | start << 22 | pid << 8 | cc & 15 | flags
    word |= (0x10 if payload else 0) | (0 if field is None else 0x20)
    adaptation = b"" if field is None else bytes([len(field)]) + field
    packet = word.to_bytes(4, "big") + adaptation + payload
    assert len(packet) == 188, len(packet)
    return packet


def pes_header(stream_id: int = 0xE0, length: int = 0, stamps: bytes = b"") -> bytes:
    """A PES header with ``stamps`` (none, or a coded PTS)."""
    flags = bytes([0x80, 0x80 if stamps else 0, len(stamps)])
    return b"\x00\x00\x01" + bytes([stream_id]) + length.to_bytes(2, "big") + flags + stamps
