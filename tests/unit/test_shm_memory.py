"""A frame queue's bytes: where they are, and what foreign ones do."""

from __future__ import annotations

import itertools
import mmap
import os
import platform

import pytest

from comfytrickle.errors import ProtocolError, WorkerError
from comfytrickle.shm import fence, layout
from comfytrickle.shm.frames import PixelFormat
from comfytrickle.shm.layout import META, Shape, filling, holding
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Descriptors, Ring
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


def test_the_bytes_are_where_the_layout_says(ring: Ring, writer: RingWriter) -> None:
    for _ in range(2):
        n = put(writer, 5000)
    with mmap.mmap(ring.descriptors.memory, 0) as raw:
        words = [int.from_bytes(raw[o : o + 8], "little") for o in (8, 16, 24, 64, 256, 384, 512)]
        assert words == [3, CAPACITY, ring.policy, 1, 2, 4, 0]
        fields = META.unpack_from(raw, 384 + 8)
        info = info_of(n)
        assert (fields[0], fields[2]) == (info.pts, 5000)
        assert fields[3:] == (*info.time_base, info.width, info.height, 0, 16)
        assert raw[4096 + 32768 : 4096 + 32768 + 5000] == bytes_of(1, 5000)


def test_a_frame_without_sense_is_told_and_passed_over(
    ring: Ring, writer: RingWriter, reader: RingReader
) -> None:
    """Foreign code in a worker can write anything there."""
    for _ in range(3):
        put(writer)
    ring.pack_meta(0, 0, 0, CAPACITY + 1, 1, 1, 1, 1, 0, PixelFormat.JPEG)
    ring.pack_meta(1, 0, 0, 1, 1, 1, 1, 1, 0, 99)
    with pytest.raises(ProtocolError, match="frame 0 makes no sense: 30001 bytes"):
        reader.read(timeout=0)
    with pytest.raises(ProtocolError, match="frame 1 makes no sense: 99 is not"):
        reader.read(timeout=0)
    frame = reader.read(timeout=0)
    assert frame is not None and whole(frame.header, frame.data)
    assert ring.lost == 2


def test_marks_and_counters_without_sense_do_no_harm(ring: Ring, writer: RingWriter) -> None:
    put(writer)
    ring.words[layout.WORD_NEXT] = ring.words[layout.WORD_LOST] = (1 << 64) - 1
    ring.words[ring.mark_words[1]] = holding(5)  # frame 5 has no business in slot 1
    ring.words[ring.mark_words[2]] = filling(1 << 40)
    os.eventfd_write(ring.descriptors.freed, (1 << 64) - 2)
    reader = RingReader(ring)
    assert reader.read(timeout=0) is None
    reader.close()


def test_the_memory_cannot_be_shrunk_under_the_other_side(ring: Ring) -> None:
    for size in (0, ring.shape.size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(ring.descriptors.memory, size)


def test_what_is_no_ring_is_refused() -> None:
    events = [os.eventfd(0) for _ in range(2)]
    memory = os.memfd_create("no-ring")
    with pytest.raises(ProtocolError, match="0 bytes are no ring"):
        Ring(Descriptors(memory, *events))
    os.ftruncate(memory, 8192)
    with pytest.raises(ProtocolError, match="no ring of this version"):
        Ring(Descriptors(memory, *events))
    for slots, message in ((31, "2 to 30 slots, not 31"), (3, "8192 bytes where 16384 were due")):
        for word, value in ((0, layout.MAGIC), (1, slots), (2, 4096)):
            os.pwrite(memory, value.to_bytes(8, "little"), word * 8)
        with pytest.raises(ProtocolError, match=message):
            Ring(Descriptors(memory, *events))
    for descriptor in (memory, *events):
        os.close(descriptor)


@pytest.mark.parametrize(("slots", "capacity"), [(1, 10), (31, 10), (2, 0), (2, (1 << 30) + 1)])
def test_a_ring_has_limits(slots: int, capacity: int) -> None:
    with pytest.raises(ValueError, match=r"a ring has 2 to 30 slots|a slot holds 1 to"):
        Ring.create(capacity, slots)


def test_slots_do_not_overlap_and_fit() -> None:
    for slots in (2, 4, 30):
        for capacity in (1, 4096, 4097, 6_220_800):
            shape = Shape(slots, capacity)
            ends = [0, *(shape.payload(n) for n in range(slots)), shape.size]
            assert ends[1] >= shape.meta(slots - 1) + META.size
            assert all(b - a >= capacity for a, b in itertools.pairwise(ends[1:]))
            assert len({shape.mark(n) for n in range(slots)}) == slots
            assert shape.mark(slots) == shape.mark(0) and shape.mark(0) * 8 == shape.meta(0) - 8


def test_a_kept_view_keeps_its_memory_and_nothing_else(ring: Ring) -> None:
    other = Ring(ring.duplicate())
    writer = RingWriter(other)
    with writer.fill(info_of(0), 10) as slot:
        slot.view[:] = bytes_of(0, 10)
    writer.close()
    other.close()
    assert bytes(slot.view) == bytes_of(0, 10)


def test_every_known_machine_has_a_fence() -> None:
    fence.fence_here()()
    fence.membarrier_fence(platform.machine())()
    with pytest.raises(WorkerError, match="no memory fence is known on vax"):
        fence.fence_of("vax")
