"""Whatever one side does between two looks of the other one at the shared words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from comfytrickle.shm.layout import Policy
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Ring
from comfytrickle.shm.writer import RingWriter
from tests.support.ring_frames import bytes_of, info_of, whole

SIZE = 500
SLOTS = 3


class Interrupted:
    """A ring's words, at whose access number ``at`` the other side gets its turn, right after."""

    def __init__(self, words: memoryview, at: int, turn: Callable[[], None]) -> None:
        self._words, self._left, self._turn = words, at, turn

    def _count(self) -> None:
        self._left -= 1
        if self._left == -1:
            self._turn()

    def __getitem__(self, word: int) -> int:
        value: int = self._words[word]
        self._count()
        return value

    def __setitem__(self, word: int, value: int) -> None:
        self._words[word] = value
        self._count()

    def missed(self) -> bool:
        """Whether that access did not come; no turn is given any more."""
        missed, self._left = self._left >= 0, -1
        return missed

    def release(self) -> None:
        self._words.release()


def put(writer: RingWriter) -> bool:
    n = writer.sequence
    return writer.write(info_of(n), bytes_of(n, SIZE), timeout=0)


def abandon(writer: RingWriter) -> None:
    try:
        with writer.fill(info_of(0), SIZE) as slot:
            slot.view[:] = b"\xee" * SIZE
            raise LookupError
    except LookupError:
        pass


def take(reader: RingReader, seen: list[int]) -> bool:
    frame = reader.read(timeout=0)
    if frame is None:
        return False
    assert whole(frame.header, frame.data)
    seen.append(frame.header.sequence)
    return True


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("before", range(SLOTS + 2))
@pytest.mark.parametrize("more", range(1, 6))
@pytest.mark.parametrize("unfinished", [False, True])
def test_a_reader_in_whose_reading_frames_come(
    policy: Policy, before: int, more: int, unfinished: bool
) -> None:
    at, over = 0, False
    while not over:
        ring = Ring.create(SIZE, SLOTS, policy)
        reading = Ring(ring.duplicate())
        writer, reader = RingWriter(ring), RingReader(reading)
        for _ in range(before):
            put(writer)

        def turn(writer: RingWriter = writer) -> None:
            for _ in range(more):
                put(writer)
            if unfinished and writer.has_room:
                abandon(writer)

        words: Any = Interrupted(reading.words, at, turn)
        reading.words = words
        seen: list[int] = []
        take(reader, seen)
        over = words.missed()
        while take(reader, seen):
            pass
        written = writer.sequence
        assert seen == sorted(set(seen)), f"at {at}"
        assert ring.lost == written - len(seen), f"at {at}: {seen} of {written}"
        if policy is Policy.BLOCK or written + unfinished <= SLOTS:
            assert seen == list(range(written)), f"at {at}"
        assert written == 0 or seen[-1] == written - 1, f"at {at}: {seen} of {written}"
        for end in (writer, reader):
            end.close()
        for each in (reading, ring):
            each.close()
        at += 1
    assert at > 3


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("before", range(SLOTS + 2))
@pytest.mark.parametrize("more", range(1, 4))
def test_a_writer_in_whose_writing_frames_are_taken(policy: Policy, before: int, more: int) -> None:
    at, over = 0, False
    while not over:
        ring = Ring.create(SIZE, SLOTS, policy)
        writing = Ring(ring.duplicate())
        writer, reader = RingWriter(writing), RingReader(ring)
        for _ in range(before):
            put(writer)
        seen: list[int] = []

        def turn(reader: RingReader = reader, seen: list[int] = seen) -> None:
            for _ in range(more):
                take(reader, seen)

        words: Any = Interrupted(writing.words, at, turn)
        writing.words = words
        put(writer)
        over = words.missed()
        while take(reader, seen):
            pass
        assert seen == sorted(set(seen)), f"at {at}"
        assert ring.lost == writer.sequence - len(seen), f"at {at}"
        if policy is Policy.BLOCK:
            assert seen == list(range(writer.sequence)), f"at {at}"
        assert seen[-1] == writer.sequence - 1
        for end in (writer, reader):
            end.close()
        for each in (writing, ring):
            each.close()
        at += 1
    assert at > 2
