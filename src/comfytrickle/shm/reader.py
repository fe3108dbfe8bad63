"""The reading end of a frame ring."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from comfytrickle.errors import ProtocolError
from comfytrickle.shm import layout
from comfytrickle.shm.frames import Frame, FrameHeader, FrameInfo, PixelFormat
from comfytrickle.shm.layout import Policy, Side, held, holding
from comfytrickle.shm.ring import Ring, RingClosed
from comfytrickle.shm.waiting import Waiting, notify

# A copy that was torn is tried again with the newest frame: slots - 1 others may come before that
# is lost. Who is overtaken so often in a row waits: so fast a writer is about to announce one more.
_TRIES = 8
_U64 = (1 << 64) - 1

T = TypeVar("T")


class RingReader:
    """The one reader of ``ring``, in one thread or one event loop; only ``stop`` is for any thread.

    Goes on where an earlier reader ended or was killed. Frames come in order; with policy overwrite
    those that were overwritten are missing, and counted (``Ring.lost``). ``peer``: a descriptor
    that becomes readable when the writer's process is gone (it stays the caller's).
    """

    def __init__(self, ring: Ring, peer: int | None = None) -> None:
        self._ring = ring
        self._waiting = Waiting(ring.descriptors.filled, peer)
        self._stopped = False
        # The other side can write these too, and may run foreign code: they are read only here.
        self._next = min(ring.words[layout.WORD_NEXT], max(mark >> 1 for mark in ring.marks()))
        self._lost = ring.words[layout.WORD_LOST]
        self._torn = ring.words[layout.WORD_TORN]
        ring.words[layout.WORD_READER] = Side.ATTACHED
        # A reader that was killed may have made room and left it unsaid.
        notify(ring.descriptors.freed)

    def read(self, timeout: float | None = None) -> Frame | None:
        """The next frame. None: none came within ``timeout`` seconds (None waits for ever).

        Raises RingClosed when stopped, or when all is read and the writer has closed or died;
        ProtocolError for a frame whose description makes no sense, which is passed over.
        """
        taken = self._block(bytes, timeout)
        return None if taken is None else Frame(*taken)

    def read_into(
        self, buffer: bytearray | memoryview, timeout: float | None = None
    ) -> FrameHeader | None:
        """``read``, into the beginning of a writable ``buffer``.

        Also when None is returned the buffer's content may have changed. Raises ValueError when it
        is too small; the frame stays then.
        """
        taken = self._block(_into(buffer), timeout)
        return None if taken is None else taken[0]

    async def receive(self) -> Frame:
        """``read`` in an event loop; waits as long as it takes. Cancelling it loses no frame."""
        return Frame(*await self._arrive(bytes))

    async def receive_into(self, buffer: bytearray | memoryview) -> FrameHeader:
        """``read_into`` in an event loop."""
        return (await self._arrive(_into(buffer)))[0]

    def skip_to_newest(self) -> int:
        """Pass over what waits, but for the newest frame; how many that were."""
        newest = self._newest()
        skipped = 0 if newest is None else newest - self._next
        if newest is not None and skipped:
            self._advance(newest, skipped)
        return skipped

    def _block(
        self, copy: Callable[[memoryview], T], timeout: float | None
    ) -> tuple[FrameHeader, T] | None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            taken = self._take_or_raise(copy)
            if taken is not None:
                return taken
            left = None if deadline is None else deadline - time.monotonic()
            if not self._waiting.block(left, self._has_one) and left is not None and left <= 0:
                return None

    async def _arrive(self, copy: Callable[[memoryview], T]) -> tuple[FrameHeader, T]:
        while True:
            taken = self._take_or_raise(copy)
            if taken is not None:
                return taken
            await self._waiting.arrive()

    def _take_or_raise(self, copy: Callable[[memoryview], T]) -> tuple[FrameHeader, T] | None:
        if self._stopped:
            raise RingClosed("the frame queue was closed here")
        taken = self._take(copy)
        if taken is not None:
            return taken
        if self._ring.closed(layout.WORD_WRITER) or self._waiting.peer_gone():
            taken = self._take(copy)  # committed just before it went
            if taken is None:
                raise RingClosed("the frame queue's writer is gone, and all is read")
        return taken

    def _take(self, copy: Callable[[memoryview], T]) -> tuple[FrameHeader, T] | None:
        """The oldest frame that is whole, without waiting."""
        ring = self._ring
        words, choose = ring.words, self._oldest
        for _ in range(_TRIES):
            number = choose()
            if number is None:
                return None
            mark = ring.mark_words[number % ring.shape.slots]
            fields = ring.unpack_meta(number)
            if words[mark] == holding(number):
                header = self._header(number, fields)
                copied = copy(ring.payload(number, header.length))
                if words[mark] == holding(number):
                    self._advance(number + 1, number - self._next)
                    return header, copied
            self._torn = (self._torn + 1) & _U64
            words[layout.WORD_TORN] = self._torn
            choose = self._newest
        return None

    def _header(self, number: int, fields: tuple[int, ...]) -> FrameHeader:
        pts, time_ns, length, numerator, denominator, width, height, stride, code = fields
        try:
            if length > self._ring.shape.capacity:
                raise ValueError(f"{length} bytes")
            info = FrameInfo(
                pts, width, height, PixelFormat(code), stride, (numerator, denominator)
            )
        except ValueError as error:  # no writer of ours does that
            self._advance(number + 1, number + 1 - self._next)
            raise ProtocolError(f"frame queue: frame {number} makes no sense: {error}") from error
        return FrameHeader(number, info, length, time_ns)

    def _has_one(self) -> bool:
        words, places = self._ring.words, self._ring.mark_words
        return words[places[self._next % len(places)]] >= holding(self._next)

    def _oldest(self) -> int | None:
        words, places = self._ring.words, self._ring.mark_words
        mark = words[places[self._next % len(places)]]
        if mark <= holding(self._next):
            # There, or still to come, and then nothing later is there either. Not to be found out
            # by looking at all slots: the writer goes on between two looks.
            return self._next if mark == holding(self._next) else None
        newest = self._newest()
        if newest is None:
            return None
        for number in range(max(self._next, newest - len(places) + 1), newest):
            if words[places[number % len(places)]] == holding(number):
                return number
        return newest

    def _newest(self) -> int | None:
        newest = None
        for slot, mark in enumerate(self._ring.marks()):
            number = held(mark)
            if number is None or number < self._next or number % self._ring.shape.slots != slot:
                continue
            newest = number if newest is None else max(newest, number)
        return newest

    def _advance(self, following: int, lost: int) -> None:
        ring = self._ring
        if lost:
            self._lost = (self._lost + lost) & _U64
            ring.words[layout.WORD_LOST] = self._lost
        self._next = following
        ring.words[layout.WORD_NEXT] = following
        if ring.policy is Policy.BLOCK:
            notify(ring.descriptors.freed)

    def watch(self, peer: int | None) -> None:
        """The descriptor of another writer's process."""
        self._waiting.watch(peer)

    def stop(self) -> None:
        """Tell the writer that nobody reads, and end what waits here. Any thread. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._ring.words[layout.WORD_READER] = Side.CLOSED
            notify(self._ring.descriptors.freed)
            notify(self._ring.descriptors.filled)

    def close(self) -> None:
        """``stop``, and release what this end has; the ring stays. Idempotent."""
        self.stop()
        self._waiting.close()


def _into(buffer: bytearray | memoryview) -> Callable[[memoryview], None]:
    target = memoryview(buffer).cast("B")

    def copy(source: memoryview) -> None:
        if source.nbytes > target.nbytes:
            raise ValueError(f"a frame of {source.nbytes} bytes, a buffer of {target.nbytes}")
        target[: source.nbytes] = source

    return copy
