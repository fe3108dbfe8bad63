"""A frame ring's memory and descriptors.

An anonymous memfd and two eventfds, handed over by descriptor, so that nothing is left behind
whoever dies. One process creates the ring; each side attaches to it and has one RingWriter or one
RingReader on it at a time (:mod:`comfytrickle.shm.writer`, :mod:`comfytrickle.shm.reader`). The
bytes are drawn in :mod:`comfytrickle.shm.layout`.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
from typing import NamedTuple

from comfytrickle.errors import ComfytrickleError, ProtocolError
from comfytrickle.shm import layout
from comfytrickle.shm.fence import fence_here
from comfytrickle.shm.layout import Policy, Shape, Side

_EVENT = os.EFD_CLOEXEC | os.EFD_NONBLOCK
# A worker runs foreign code. If it could shrink the file, a look at it would kill its parent.
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class RingClosed(ComfytrickleError):
    """No frame will pass any more: this end was stopped, or the other one has closed or died."""


class Descriptors(NamedTuple):
    memory: int  # the memfd
    filled: int  # eventfd, written after a commit; the reader sleeps on it
    freed: int  # eventfd, written when a frame was taken (policy block); the writer sleeps on it


class Ring:
    """Owns its descriptors and its mapping; ``close`` releases them.

    ``Ring(descriptors)`` attaches to an existing ring and takes the descriptors over (hand it
    duplicates to keep yours); raises ProtocolError for memory that is no ring of this version, and
    then they stay yours.
    """

    def __init__(self, descriptors: Descriptors) -> None:
        self.descriptors = descriptors
        size = os.fstat(descriptors.memory).st_size
        if size < layout.PAGE:
            raise ProtocolError(f"frame queue: {size} bytes are no ring")
        self._map = mmap.mmap(descriptors.memory, size)
        self._bytes = memoryview(self._map)
        # The shared words. Only the writer and the reader of this ring write them.
        self.words = self._bytes[: layout.PAGE].cast("Q")
        try:
            # Read once: what a rogue worker writes there later changes nothing here.
            self.shape, self.policy = self._read_header(size)
            self.fence = fence_here()
            # Of all slots, in the slots' order: the words of their marks.
            self.mark_words = [self.shape.mark(slot) for slot in range(self.shape.slots)]
        except BaseException:
            self._unmap()
            raise

    @classmethod
    def create(cls, capacity: int, slots: int = 4, policy: Policy = Policy.OVERWRITE) -> Ring:
        """A ring for payloads of up to ``capacity`` bytes. Its memory is used as it is touched.

        Overwriting needs slots: while a frame is copied out, ``slots - 1`` newer ones may come
        before the copy is lost. Raises ValueError outside of the layout's limits.
        """
        shape = Shape(slots, capacity)
        opened: list[int] = []
        try:
            memory = os.memfd_create("comfytrickle-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            opened.append(memory)
            os.ftruncate(memory, shape.size)
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
            with mmap.mmap(memory, layout.PAGE) as page:
                for word, value in (
                    (layout.WORD_SLOTS, slots),
                    (layout.WORD_CAPACITY, capacity),
                    (layout.WORD_POLICY, policy),
                    (layout.WORD_MAGIC, layout.MAGIC),
                ):
                    page[word * 8 : word * 8 + 8] = value.to_bytes(8, sys.byteorder)
            opened.append(os.eventfd(0, _EVENT))
            opened.append(os.eventfd(0, _EVENT))
            return cls(Descriptors(*opened))
        except BaseException:
            for descriptor in opened:
                os.close(descriptor)
            raise

    def _read_header(self, size: int) -> tuple[Shape, Policy]:
        words = self.words
        if words[layout.WORD_MAGIC] != layout.MAGIC:
            raise ProtocolError("frame queue: no ring of this version")
        try:
            shape = Shape(words[layout.WORD_SLOTS], words[layout.WORD_CAPACITY])
            policy = Policy(words[layout.WORD_POLICY])
        except ValueError as error:
            raise ProtocolError(f"frame queue: {error}") from error
        if shape.size != size:
            raise ProtocolError(f"frame queue: {size} bytes where {shape.size} were due")
        return shape, policy

    def marks(self) -> list[int]:
        """Of all slots, in the slots' order."""
        words = self.words
        return [words[word] for word in self.mark_words]

    def payload(self, number: int, length: int) -> memoryview:
        """The first ``length`` bytes of frame ``number``'s place."""
        start = self.shape.payload(number)
        return self._bytes[start : start + length]

    def pack_meta(self, number: int, *fields: int) -> None:
        layout.META.pack_into(self._map, self.shape.meta(number), *fields)

    def unpack_meta(self, number: int) -> tuple[int, ...]:
        return layout.META.unpack_from(self._map, self.shape.meta(number))

    def closed(self, word: int) -> bool:
        """Whether the side of that word (WORD_WRITER, WORD_READER) has said that it is through."""
        return self.words[word] == Side.CLOSED

    @property
    def lost(self) -> int:
        """Frames that no reader got, over the ring's life: overwritten, or skipped."""
        return self.words[layout.WORD_LOST]

    @property
    def torn(self) -> int:
        """Copies that the reader threw away since they were overwritten meanwhile."""
        return self.words[layout.WORD_TORN]

    def duplicate(self) -> Descriptors:
        """Descriptors of their own, for another Ring of this process."""
        return Descriptors(*map(os.dup, self.descriptors))

    def _unmap(self) -> None:
        self.words.release()
        try:
            self._bytes.release()
            self._map.close()
        except BufferError:
            # Someone still holds (an array over) a slot's view: the mapping goes with that.
            pass

    def close(self) -> None:
        """Release all. The ends on this ring are closed before, and no thread waits in them."""
        self._unmap()
        for descriptor in self.descriptors:
            os.close(descriptor)
