"""A frame queue in one process: what comes out, and what is refused."""

from __future__ import annotations

import time

import pytest

from comfytrickle.errors import InvalidInput
from comfytrickle.shm.frames import FrameInfo, PixelFormat
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Ring
from comfytrickle.shm.writer import RingWriter
from tests.support.ring_frames import bytes_of, info_of, whole
from tests.support.rings import (  # noqa: F401 - fixtures are used by their names
    CAPACITY,
    PATIENCE_S,
    put,
    reader_fixture,
    ring_fixture,
    writer_fixture,
)


def test_a_frame_comes_as_it_was_written(writer: RingWriter, reader: RingReader) -> None:
    info = FrameInfo(-(1 << 63), 4, 2, PixelFormat.RGB24, stride=16, time_base=(1001, 30_000))
    before = time.monotonic_ns()
    assert writer.write(info, memoryview(bytes(range(32))))
    after = time.monotonic_ns()
    frame = reader.read(timeout=0)
    assert frame is not None
    assert frame.data == bytes(range(32))
    assert (frame.header.sequence, frame.header.info, frame.header.length) == (0, info, 32)
    assert before <= frame.header.time_ns <= after


@pytest.mark.parametrize(
    ("change", "length", "field", "message"),
    [
        ({}, 33, "length", "33 bytes are not 2 rows of 16 (rgb24)"),
        ({"stride": 11}, 22, "stride", "11 bytes hold no 4 pixels of rgb24"),
        ({"pixel_format": PixelFormat.JPEG}, 32, "stride", "jpeg has no rows: 0, not 16"),
        ({"width": 0}, 32, "width", "0 is not from 1 to 4294967295"),
        ({"height": 1 << 32}, 32, "height", "4294967296 is not from 1 to 4294967295"),
        ({"time_base": (1, 0)}, 32, "time_base", "0 is not from 1 to 4294967295"),
        ({"pts": 1 << 63}, 32, "pts", "9223372036854775808 does not fit into 64 bits"),
    ],
)
def test_what_cannot_be_a_frame_is_refused_and_leaves_no_trace(
    writer: RingWriter, reader: RingReader, change: dict, length: int, field: str, message: str
) -> None:
    fields = {"pts": 0, "width": 4, "height": 2, "pixel_format": PixelFormat.RGB24, "stride": 16}
    with pytest.raises(InvalidInput) as caught:
        writer.write(FrameInfo(**fields | change), bytes(length))
    assert (caught.value.field, caught.value.message) == (field, message)
    assert put(writer) == 0
    frame = reader.read(timeout=0)
    assert frame is not None and whole(frame.header, frame.data)


def test_a_frame_larger_than_a_slot_is_refused_with_both_sizes(writer: RingWriter) -> None:
    with pytest.raises(InvalidInput, match="frame: 30001 bytes, where a slot holds 30000"):
        writer.write(info_of(0), bytes(CAPACITY + 1))
    with (
        pytest.raises(InvalidInput, match="frame: 30001 bytes, where a slot holds 30000"),
        writer.fill(info_of(0), CAPACITY + 1),
    ):
        pytest.fail("not reached")
    with pytest.raises(InvalidInput, match="11 of 10 bytes"), writer.fill(info_of(0), 10) as slot:
        slot.length = 11
    assert put(writer, CAPACITY) == 0


def test_a_buffer_that_is_too_small_keeps_the_frame(writer: RingWriter, reader: RingReader) -> None:
    put(writer, 1000)
    with pytest.raises(ValueError, match="a frame of 1000 bytes, a buffer of 999"):
        reader.read_into(bytearray(999), timeout=0)
    buffer = bytearray(1001)
    header = reader.read_into(buffer, timeout=0)
    assert header is not None and whole(header, buffer[:1000]) and buffer[1000] == 0


def test_one_frame_is_filled_at_a_time(writer: RingWriter, reader: RingReader) -> None:
    with writer.fill(info_of(0), 100) as slot:
        slot.view[:] = bytes_of(0, 100)
        with pytest.raises(RuntimeError), writer.fill(info_of(0), 100):
            pytest.fail("not reached")
        with pytest.raises(RuntimeError):
            writer.write(info_of(0), bytes(100))
        assert reader.read(timeout=0) is None
    frame = reader.read(timeout=0)
    assert frame is not None and whole(frame.header, frame.data)


def test_a_reader_that_is_overtaken_gets_a_newer_frame_whole() -> None:
    """The writer strikes in the middle of a copy, as another process may."""
    ring = Ring.create(CAPACITY, 2)
    writer, reader = RingWriter(ring), RingReader(ring)
    put(writer)

    copies = []

    def copy(source: memoryview) -> bytes:
        first = bytes(source[:500])
        if not copies:
            put(writer)
            put(writer)  # into the slot that is being copied
        copies.append(first + bytes(source[500:]))
        return copies[-1]

    taken = reader._take(copy)
    assert taken is not None
    header, data = taken
    assert header.sequence == 2 and whole(header, data)
    assert copies[0] != bytes_of(0, 1000)  # it was torn indeed
    assert (ring.torn, ring.lost) == (1, 2)
    assert reader.read(timeout=0) is None
    reader.close()
    writer.close()
    ring.close()


def test_a_writer_in_the_middle_of_a_frame_is_waited_for(
    ring: Ring, writer: RingWriter, reader: RingReader
) -> None:
    put(writer)
    with writer.fill(info_of(1), 10) as slot:
        slot.view[:] = bytes_of(1, 10)
        first = reader.read(timeout=0)
        assert first is not None and first.header.sequence == 0
        assert reader.read(timeout=0.01) is None
    second = reader.read(timeout=0)
    assert second is not None and whole(second.header, second.data)
