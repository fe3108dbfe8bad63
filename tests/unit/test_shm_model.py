"""The ring against a model of it: any order of what writer and reader may do."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from comfytrickle.shm.layout import Policy
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Ring
from comfytrickle.shm.writer import RingWriter
from tests.support.ring_frames import bytes_of, info_of

CAPACITY = 5000


class RingMachine(RuleBasedStateMachine):
    """``there`` is what the slots hold, ``unread`` what of it is still to be read, in order."""

    @initialize(slots=st.integers(2, 5), policy=st.sampled_from(Policy))
    def begin(self, slots: int, policy: Policy) -> None:
        self.slots, self.policy = slots, policy
        self.ring = Ring.create(CAPACITY, slots, policy)
        self.writing = Ring(self.ring.duplicate())
        self.reading = Ring(self.ring.duplicate())
        self.writer = RingWriter(self.writing)
        self.reader = RingReader(self.reading)
        self.number = 0  # of the next frame
        self.unread: dict[int, int] = {}  # number: size
        self.next = 0  # what the reader has come to, and how many frames it got on the way
        self.delivered = 0

    def _has_room(self) -> bool:
        return self.policy is Policy.OVERWRITE or len(self.unread) < self.slots

    def _overwrite(self) -> None:
        # Lost now; counted when the reader comes upon the gap.
        self.unread.pop(self.number - self.slots, None)

    @rule(size=st.integers(0, CAPACITY))
    def write(self, size: int) -> None:
        number = self.number
        done = self.writer.write(info_of(number), bytes_of(number, size), timeout=0)
        assert done == self._has_room()
        if done:
            self._overwrite()
            self.unread[number] = size
            self.number += 1

    @precondition(lambda self: self._has_room())
    @rule(size=st.integers(0, CAPACITY), share=st.floats(0, 1))
    def fill_in_place(self, size: int, share: float) -> None:
        with self.writer.fill(info_of(self.number), size) as slot:
            assert slot.sequence == self.number
            slot.length = int(size * share)
            slot.view[: slot.length] = bytes_of(self.number, slot.length)
        self._overwrite()
        self.unread[self.number] = int(size * share)
        self.number += 1

    @precondition(lambda self: self._has_room())
    @rule(size=st.integers(1, CAPACITY))
    def abandon(self, size: int) -> None:
        try:
            with self.writer.fill(info_of(self.number), size) as slot:
                slot.view[: size // 2] = b"\xee" * (size // 2)
                raise LookupError
        except LookupError:
            self._overwrite()

    @rule(into=st.booleans())
    def read(self, into: bool) -> None:
        buffer = bytearray(CAPACITY)
        if into:
            header = self.reader.read_into(buffer, timeout=0)
            data = bytes(buffer[: header.length]) if header else b""
        else:
            frame = self.reader.read(timeout=0)
            header, data = (frame.header, frame.data) if frame else (None, b"")
        if not self.unread:
            assert header is None
            return
        number = min(self.unread)
        size = self.unread.pop(number)
        assert header is not None
        assert (header.sequence, header.info) == (number, info_of(number))
        assert header.length == size and data == bytes_of(number, size)
        self.next = number + 1
        self.delivered += 1

    @rule()
    def skip_to_newest(self) -> None:
        to = max(self.unread, default=self.next)
        assert self.reader.skip_to_newest() == to - self.next
        self.next = to
        self.unread = {n: size for n, size in self.unread.items() if n == to}

    @rule(orderly=st.booleans())
    def another_writer(self, orderly: bool) -> None:
        """The old one closes, or vanishes as a killed one does."""
        if orderly:
            self.writer.close()
        self.writing.close()
        self.writing = Ring(self.ring.duplicate())
        self.writer = RingWriter(self.writing)
        assert self.writer.sequence == self.number

    @rule(orderly=st.booleans())
    def another_reader(self, orderly: bool) -> None:
        if orderly:
            self.reader.close()
        self.reading.close()
        self.reading = Ring(self.ring.duplicate())
        self.reader = RingReader(self.reading)

    @invariant()
    def counts(self) -> None:
        assert self.ring.torn == 0
        assert self.ring.lost == self.next - self.delivered
        assert self.writer.has_room == self._has_room()

    def teardown(self) -> None:
        self.writer.close()
        self.reader.close()
        for ring in (self.writing, self.reading, self.ring):
            ring.close()


RingMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_ring_against_its_model = RingMachine.TestCase
