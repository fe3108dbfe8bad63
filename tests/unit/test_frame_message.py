"""A frame as one message: its bytes, and everything that can be wrong with one from outside."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytrickle.errors import InvalidInput
from comfytrickle.frame_message import (
    HEADER_BYTES,
    MARKED,
    MAX_PAYLOAD,
    Header,
    Kind,
    Side,
    check_sent,
    jpeg_size,
    unpack,
)
from tests.support.frame_sockets import jpeg

RGB = np.zeros((48, 64, 3), np.uint8)


def test_the_header_byte_by_byte() -> None:
    header = Header(Kind.RAW, Side.BOTH, 0x0102030405060708, 640, 480, -1, 1.5, MARKED)
    assert header.pack() == (
        b"CTF1" + b"\2" + b"\2" + b"\1\0"
        + bytes([8, 7, 6, 5, 4, 3, 2, 1])
        + b"\xff" * 8
        + struct.pack("<d", 1.5)
        + bytes([0x80, 2, 0, 0]) + bytes([0xE0, 1, 0, 0])
        + bytes(4)
    )  # fmt: skip
    assert HEADER_BYTES == 44
    assert unpack(header.pack() + b"payload") == header


def sent(payload: bytes = b"", **fields: Any) -> bytes:
    given = {"kind": Kind.JPEG, "side": 0, "seq": 5, "width": 0, "height": 0} | fields
    return Header(**given).pack() + payload


def test_a_jpegs_size_stands_in_it() -> None:
    header = check_sent(sent(jpeg(RGB), width=9999, height=1, side=77, flags=3, time=2.5, pts=90))
    assert (header.width, header.height) == (64, 48)
    assert (header.seq, header.time, header.pts, header.flags) == (5, 2.5, 90, 0)
    raw = check_sent(sent(RGB.tobytes(), kind=Kind.RAW, width=64, height=48))
    assert (raw.width, raw.height, raw.kind) == (64, 48, Kind.RAW)


@pytest.mark.parametrize(
    ("message", "field", "said"),
    [
        (b"", "frame", "0 bytes"),
        (sent()[:43], "frame", "43 bytes"),
        (b"CTF2" + sent()[4:], "magic", "CTF2"),
        (sent(kind=0), "kind", "0"),
        (sent(pts=-2), "pts", "-2"),
        (sent(bytes(MAX_PAYLOAD + 1)), "payload", "too large"),
        (sent(b""), "payload", "FF D8"),
        (sent(b"\xff\xd8"), "payload", "no frame header"),
        (sent(b"\xff\xd8\xff\xda\0\2" + bytes(100)), "payload", "no frame header"),
        (sent(jpeg(np.zeros((15, 64, 3), np.uint8))), "height", "15"),
        (sent(jpeg(np.zeros((16, 4097, 3), np.uint8))), "width", "4097"),
        (sent(bytes(64 * 48 * 3 + 1), kind=Kind.RAW, width=64, height=48), "payload", "64 x 48"),
        (sent(b"", kind=Kind.RAW, width=0, height=48), "width", "0"),
    ],
)
def test_what_is_wrong_is_named(message: bytes, field: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_sent(message)
    assert caught.value.field == field and said in caught.value.message


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"exif": b"Exif\0\0" + b"\xff\xc0" * 900}],
    ids=["baseline", "progressive", "4:4:4", "a frame header's bytes in EXIF"],
)
def test_sizes_of_all_kinds_of_jpegs(options: dict[str, Any]) -> None:
    assert jpeg_size(jpeg(RGB, **options)) == (64, 48)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_in_words(data: bytes) -> None:
    for message in (data, sent(data), sent(b"\xff\xd8" + data), sent(data, kind=Kind.RAW)):
        with pytest.raises(InvalidInput):
            check_sent(message)


@given(st.integers(0, 300), st.integers(0, 255))
def test_a_jpeg_with_a_wrong_byte_is_taken_or_refused(at: int, byte: int) -> None:
    data = bytearray(jpeg(RGB))
    data[at % len(data)] = byte
    try:
        header = check_sent(sent(bytes(data)))
    except InvalidInput:
        return
    assert 16 <= header.width <= 4096 and 16 <= header.height <= 4096
