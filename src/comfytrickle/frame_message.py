"""A frame as one message: over a WebSocket, and in the queues between a worker and its parent.

    offset  type  field    little-endian
         0  4 s   magic    "CTF1"
         4  u8    kind     1 JPEG, 2 raw (rgb24, rows without padding)
         5  u8    side     0 in, 1 out, 2 both (in the left half, out the right one)
         6  u16   flags    bit 0: no node made this picture; it stands for one that failed
         8  u64   seq      grows from frame to frame
        16  i64   pts      90 kHz; -1: not known
        24  f64   time     seconds, the sender's clock; comes back with what became of the frame
        32  u32   width    pixels
        36  u32   height
        40  u32            0
        44        payload

The parent forwards messages as they are: it copies bytes, and never decodes a picture.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from comfytrickle.errors import InvalidInput

MAGIC = b"CTF1"
MARKED = 1  # of flags
NO_PTS = -1
SIZE_MIN, SIZE_MAX = 16, 4096  # pixels, of a frame that is sent to us
MAX_PAYLOAD = 32 << 20

_HEADER = struct.Struct("<4sBBHQqdII4x")
HEADER_BYTES = _HEADER.size
MAX_MESSAGE = HEADER_BYTES + MAX_PAYLOAD

# Of ITU-T T.81, table B.1.
_SOI = b"\xff\xd8"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 .. SOF15
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))


class Kind(IntEnum):
    JPEG = 1
    RAW = 2


class Side(IntEnum):
    IN = 0
    OUT = 1
    BOTH = 2


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the payload; the module's docstring has the fields."""

    kind: int
    side: int
    seq: int
    width: int
    height: int
    pts: int = NO_PTS
    time: float = 0.0
    flags: int = 0

    def pack(self) -> bytes:
        return _HEADER.pack(
            MAGIC, self.kind, self.side, self.flags, self.seq, self.pts, self.time, self.width,
            self.height,
        )  # fmt: skip


def unpack(message: bytes) -> Header:
    """The header alone. Raises InvalidInput for what is no frame message."""
    if len(message) < HEADER_BYTES:
        raise InvalidInput(
            "frame", f"{len(message)} bytes are less than the header's {HEADER_BYTES}"
        )
    magic, kind, side, flags, seq, pts, time, width, height = _HEADER.unpack_from(message)
    if magic != MAGIC:
        raise InvalidInput("magic", f"is {magic!r} and not {MAGIC!r}")
    return Header(kind, side, seq, width, height, pts, time, flags)


def check_sent(message: bytes) -> Header:
    """The header of a frame that somebody sends us, with the picture's own size in it.

    All is checked that can be without decoding. Raises InvalidInput, which names what is wrong.
    """
    header = unpack(message)
    length = len(message) - HEADER_BYTES
    if length > MAX_PAYLOAD:
        raise InvalidInput("payload", f"{length} bytes are too large: at most {MAX_PAYLOAD}")
    if header.pts < NO_PTS:
        raise InvalidInput("pts", f"is {header.pts}; -1 stands for not known")
    size = header.width, header.height
    if header.kind == Kind.JPEG:
        size = jpeg_size(message, HEADER_BYTES)
    elif header.kind != Kind.RAW:
        raise InvalidInput("kind", f"is {header.kind}: 1 is JPEG, 2 raw rgb24")
    for name, value in zip(("width", "height"), size, strict=True):
        if not SIZE_MIN <= value <= SIZE_MAX:
            raise InvalidInput(name, f"{value} pixels: a frame has {SIZE_MIN} to {SIZE_MAX}")
    if header.kind == Kind.RAW and length != 3 * size[0] * size[1]:
        raise InvalidInput(
            "payload", f"{length} bytes are not {size[0]} x {size[1]} pixels of rgb24"
        )
    return Header(header.kind, header.side, header.seq, *size, header.pts, header.time)


def jpeg_size(data: bytes, start: int = 0) -> tuple[int, int]:
    """Width and height by the frame header of the JPEG that begins at ``start`` (ITU-T T.81, B.2).

    Raises InvalidInput when there is none.
    """
    if data[start : start + 2] != _SOI:
        raise InvalidInput("payload", "is no JPEG: it does not begin with FF D8")
    at = start + 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise InvalidInput("payload", "is no JPEG: it has no frame header")
