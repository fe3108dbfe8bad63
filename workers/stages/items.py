"""What goes from the network to the decode thread, and from the encode thread to the network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they were read. ``arrived``: time.monotonic()."""

    data: bytes
    arrived: float


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """``gap``: bytes were lost between what came before and segment ``seq``. ``content_type``:
    the channel's."""

    seq: int
    gap: bool
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    pass


@dataclass(frozen=True, slots=True)
class SourceEnd:
    """``cut``: we stopped reading; the source itself may go on."""

    cut: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame message (comfytrickle.frame_message). ``arrived``: time.monotonic() at the parent."""

    data: bytes
    arrived: float


@dataclass(frozen=True, slots=True)
class Resize:
    """From the next frame on give frames of this size."""

    width: int
    height: int


Item = Chunk | SegmentStart | SegmentEnd | SourceEnd | Picture | Resize


@dataclass(frozen=True, slots=True)
class SentFrame:
    """Which video frame it is; Frame (workers/media/frames.py) has the fields."""

    arrived: float
    segment: int
    source_pts: int
    pts: int


@dataclass(frozen=True, slots=True)
class SentSound:
    """Up to where a track of sound has been sent; Held (workers/sound/route.py) has the fields."""

    segment: int
    source_pts: int
    pts: int


Sent = SentFrame | SentSound  # what is complete with the bytes that are written


@dataclass(frozen=True, slots=True)
class Packet:
    """Transport stream packets to be written now: one video frame or one unit of sound.

    ``begins``: the first of a new segment. ``sent``: what is complete with it; None for silence
    that fills a gap.
    """

    data: bytes
    begins: bool
    sent: Sent | None
