"""Frames that can be told from any mixture of two."""

from __future__ import annotations

from comfytrickle.shm.frames import FrameHeader, FrameInfo, PixelFormat

_BLOCK = 4096


def info_of(sequence: int) -> FrameInfo:
    """A description that differs from frame to frame."""
    return FrameInfo(
        pts=sequence * 3003 - 7,
        width=1 + sequence % 4000,
        height=1 + sequence % 3000,
        pixel_format=PixelFormat.JPEG,
        time_base=(1 + sequence % 7, 90_000),
    )


def bytes_of(sequence: int, size: int) -> bytes:
    """Every 8 bytes tell the frame, every 4096 also which part of it they are."""
    blocks = []
    for block in range(0, size, _BLOCK):
        word = (sequence << 20 | block // _BLOCK) & (1 << 64) - 1
        blocks.append(word.to_bytes(8, "little") * (min(_BLOCK, size - block + 7) // 8))
    return b"".join(blocks)[:size]


def whole(header: FrameHeader, data: bytes | bytearray | memoryview) -> bool:
    """Whether header and data are of one frame."""
    return (
        header.info == info_of(header.sequence)
        and header.length == len(data)
        and bytes(data) == bytes_of(header.sequence, len(data))
    )
