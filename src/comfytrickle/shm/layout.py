"""The bytes of a frame ring, and what may happen to them.

All in the machine's own order; both sides run on one machine. S slots of capacity C, lines of 64
bytes so that the two sides do not write to each other's:

    offset  type  field         written by
         0  u64   magic         the creator, once; it has the version
         8  u64   slots         the creator, once: S, 2 to 30
        16  u64   capacity      the creator, once: C, the largest payload in bytes
        24  u64   policy        the creator, once: 0 overwrite the oldest, 1 block
        64  u64   writer        the writer: 0 none came yet, 1 attached, 2 closed
       128  u64   reader        the reader: the same
       136  u64   next          the reader: the number of the frame that it takes next
       144  u64   lost          the reader: frames that it found overwritten, or skipped
       152  u64   torn          the reader: copies that were overwritten meanwhile, thrown away
       256  slot headers, 128 bytes apart, all of them the writer's:
        +0  u64   mark          see below
        +8  i64   pts
       +16  i64   time_ns       CLOCK_MONOTONIC, at the commit
       +24  u64   length        of the payload, at most C
       +32  u32   numerator     of the time base
       +36  u32   denominator
       +40  u32   width
       +44  u32   height
       +48  u32   stride
       +52  u32   pixel format  PixelFormat
      4096  payloads, each C rounded up to whole pages of 4096

Frames are numbered from 0 over the ring's whole life; frame n is in slot n % S and nowhere else.
The mark is all the truth about a slot, and changes like this only:

            begin n                  commit n                  begin n + S
    0  ----------------->  2n + 1  ----------->  2n + 2  ----------------------->  2(n + S) + 1 ...
    never written          being filled          holds frame n     with policy block: only
                           ^         |                             when next > n
                           '---------'
                begin n again: it was abandoned, or its writer was killed

Each u64 is stored by one aligned 8-byte store, which a kill cannot tear. A writer needs nothing but
the marks to go on where another one was killed (the next number is the largest mark >> 1), a reader
nothing but ``next``; ``next`` is stored after the copy, so a frame whose reader was killed at that
very moment is read again. (``lost`` may then count its last jump twice.)

A reader takes mark 2n + 2, copies, and looks at the mark again: if it has changed, the copy may be
of two frames, and is thrown away. What the processors have to keep in order for that: fence.py.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

MAGIC = int.from_bytes(b"CTRING\x00\x01", "little")
MIN_SLOTS = 2
MAX_SLOTS = 30
MAX_CAPACITY = 1 << 30
PAGE = 4096

# Words: indices of u64 from the beginning.
WORD_MAGIC = 0
WORD_SLOTS = 1
WORD_CAPACITY = 2
WORD_POLICY = 3
WORD_WRITER = 8
WORD_READER = 16
WORD_NEXT = 17
WORD_LOST = 18
WORD_TORN = 19

_SLOT_HEADERS = 256
_SLOT_HEADER = 128
# pts, time_ns, length, numerator, denominator, width, height, stride, pixel format
META = struct.Struct("@qqQ6I")


class Policy(IntEnum):
    """What a writer does when all slots hold frames that nobody has read."""

    OVERWRITE = 0  # live: the oldest goes
    BLOCK = 1  # back-pressure: it waits


class Side(IntEnum):
    """The state of the writer or the reader. A killed one stays ATTACHED."""

    NONE = 0
    ATTACHED = 1
    CLOSED = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """Where things are in a ring of ``slots`` slots for up to ``capacity`` bytes each."""

    slots: int
    capacity: int

    def __post_init__(self) -> None:
        if not MIN_SLOTS <= self.slots <= MAX_SLOTS:
            raise ValueError(f"a ring has {MIN_SLOTS} to {MAX_SLOTS} slots, not {self.slots}")
        if not 1 <= self.capacity <= MAX_CAPACITY:
            raise ValueError(f"a slot holds 1 to {MAX_CAPACITY} bytes, not {self.capacity}")

    @property
    def size(self) -> int:
        """Of the whole ring, in bytes."""
        return PAGE + self.slots * self._pitch

    @property
    def _pitch(self) -> int:
        return (self.capacity + PAGE - 1) // PAGE * PAGE

    def mark(self, number: int) -> int:
        """The word of frame ``number``'s mark."""
        return (_SLOT_HEADERS + number % self.slots * _SLOT_HEADER) // 8

    def meta(self, number: int) -> int:
        """The offset of frame ``number``'s META."""
        return _SLOT_HEADERS + number % self.slots * _SLOT_HEADER + 8

    def payload(self, number: int) -> int:
        """The offset of frame ``number``'s bytes."""
        return PAGE + number % self.slots * self._pitch


def filling(number: int) -> int:
    """The mark of a slot that frame ``number`` is being written to."""
    return 2 * number + 1


def holding(number: int) -> int:
    """The mark of a slot that holds frame ``number``."""
    return 2 * number + 2


def held(mark: int) -> int | None:
    """The number of the frame that a slot of this mark holds."""
    return None if mark & 1 or mark == 0 else (mark >> 1) - 1
