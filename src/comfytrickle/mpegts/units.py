"""What the demuxer gives and the muxer takes: elementary streams and their access units."""

from __future__ import annotations

from dataclasses import dataclass

CLOCK = 90_000  # ticks per second of pts and dts
PTS_MASK = (1 << 33) - 1  # pts and dts have 33 bits


@dataclass(frozen=True, slots=True)
class ElementaryStream:
    """One line of a PMT."""

    pid: int
    stream_type: int  # ISO/IEC 13818-1 table 2-34: 0x1b H.264, 0x24 H.265, 0x0f AAC, ...
    kind: str  # "video" | "audio" | "data"
    codec: str | None  # PyAV's decoder name ("h264", "hevc", "aac", "mp2", ...); None: not known
    descriptors: bytes = b""  # the ES_info loop, verbatim


@dataclass(slots=True)
class AccessUnit:
    """The payload of one PES packet.

    ``pts`` and ``dts`` are 33-bit values as they stand in the source (None where absent).
    ``arrived`` is time.monotonic() of the chunk that held its last byte.
    ``damaged`` is set when bytes are missing in it, or before it unless it is a random access unit
    (continuity, transport error, the unit before was given out too early): decoding can go on at
    the next random access unit that is not damaged.
    ``random_access`` is the adaptation field's indicator or a keyframe NAL unit.
    """

    stream: ElementaryStream
    data: bytes
    pts: int | None
    dts: int | None
    arrived: float
    stream_id: int = 0xE0  # of the PES header, so that audio can be passed on verbatim
    random_access: bool = False
    damaged: bool = False
