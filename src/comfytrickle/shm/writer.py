"""The writing end of a frame ring."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from comfytrickle.errors import ComfytrickleError, InvalidInput
from comfytrickle.shm import layout
from comfytrickle.shm.frames import FrameInfo
from comfytrickle.shm.layout import Policy, Side, filling, holding
from comfytrickle.shm.ring import Ring, RingClosed
from comfytrickle.shm.waiting import Waiting, notify


class RingFull(ComfytrickleError):
    """With policy block: the reader has not taken a frame yet, so there is no room for one more."""


@dataclass(slots=True)
class Filling:
    """A frame that is being written in place.

    ``view`` is writable and of the size that was asked for; ``length`` may be lowered to what was
    needed. The view is not to be written to when the frame is committed.
    """

    sequence: int
    view: memoryview
    length: int


class RingWriter:
    """The one writer of ``ring``, in one thread or one event loop; only ``stop`` is for any thread.

    Goes on where an earlier writer ended or was killed. ``peer``: a descriptor that becomes
    readable when the reader's process is gone (it stays the caller's).
    """

    def __init__(self, ring: Ring, peer: int | None = None) -> None:
        self._ring = ring
        self._waiting = Waiting(ring.descriptors.freed, peer)
        self._next = max(mark >> 1 for mark in ring.marks())
        self._filling = False
        self._stopped = False
        ring.words[layout.WORD_WRITER] = Side.ATTACHED
        # A writer that was killed after its commit may have left it unsaid.
        notify(ring.descriptors.filled)

    @property
    def sequence(self) -> int:
        """Of the frame that is written next."""
        return self._next

    @property
    def has_room(self) -> bool:
        """Whether ``fill`` would succeed now; always, with policy overwrite."""
        ring = self._ring
        if ring.policy is Policy.OVERWRITE:
            return True
        return self._next < ring.words[layout.WORD_NEXT] + ring.shape.slots

    @property
    def waiting(self) -> int:
        """Frames that the reader has not taken yet, or never will."""
        return self._next - self._ring.words[layout.WORD_NEXT]

    @contextlib.contextmanager
    def fill(self, info: FrameInfo, size: int) -> Iterator[Filling]:
        """Write a frame of up to ``size`` bytes in place; it is committed when the block is left.

        Never waits. Left by an exception, the frame does not come to be; what was overwritten for
        it stays lost. Raises InvalidInput for what does not fit, RingFull, RingClosed.
        """
        capacity = self._ring.shape.capacity
        if not 0 <= size <= capacity:
            raise InvalidInput("frame", f"{size} bytes, where a slot holds {capacity}")
        if self._stopped:
            raise RingClosed("the frame queue was closed here")
        if self._filling:
            raise RuntimeError("a frame is being written already")
        if not self.has_room:
            raise RingFull("the frame queue is full")
        slot = Filling(self._next, self._ring.payload(self._next, size), size)
        self._filling = True
        try:
            self._begin()
            yield slot
            if not 0 <= slot.length <= size:
                raise InvalidInput("frame", f"{slot.length} of {size} bytes")
            info.check(slot.length)
            self._commit(info, slot.length)
        finally:
            self._filling = False
            # Also when it came to nothing: a reader may have waited for this slot to be settled.
            notify(self._ring.descriptors.filled)

    def _begin(self) -> None:
        ring = self._ring
        ring.words[ring.shape.mark(self._next)] = filling(self._next)
        ring.fence()

    def _commit(self, info: FrameInfo, length: int) -> None:
        ring, number = self._ring, self._next
        ring.pack_meta(
            number,
            info.pts,
            time.monotonic_ns(),
            length,
            *info.time_base,
            info.width,
            info.height,
            info.stride,
            info.pixel_format,
        )
        ring.fence()
        ring.words[ring.shape.mark(number)] = holding(number)
        self._next = number + 1

    def write(
        self, info: FrameInfo, data: bytes | bytearray | memoryview, timeout: float | None = None
    ) -> bool:
        """Copy a frame in. False: there was no room for ``timeout`` seconds (None waits for ever).

        ``data`` is contiguous. Raises InvalidInput for what does not fit; RingClosed when stopped,
        or when it would have to wait for a reader that is gone.
        """
        data = self._checked(info, data)
        if not self.wait(timeout):
            return False
        self._copy(info, data)
        return True

    async def send(self, info: FrameInfo, data: bytes | bytearray | memoryview) -> None:
        """``write`` in an event loop; waits as long as it takes."""
        data = self._checked(info, data)
        await self.room()
        self._copy(info, data)

    def _checked(self, info: FrameInfo, data: bytes | bytearray | memoryview) -> memoryview:
        flat = memoryview(data).cast("B")
        capacity = self._ring.shape.capacity
        if flat.nbytes > capacity:
            raise InvalidInput("frame", f"{flat.nbytes} bytes, where a slot holds {capacity}")
        info.check(flat.nbytes)
        if self._filling:
            raise RuntimeError("a frame is being written already")
        return flat

    def _copy(self, info: FrameInfo, data: memoryview) -> None:
        self._begin()
        self._ring.payload(self._next, len(data))[:] = data
        self._commit(info, len(data))
        notify(self._ring.descriptors.filled)

    def wait(self, timeout: float | None = None) -> bool:
        """Until there is room. False: not within ``timeout`` seconds. Raises RingClosed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._room_or_raise():
            left = None if deadline is None else deadline - time.monotonic()
            if (
                not self._waiting.block(left, lambda: self.has_room)
                and left is not None
                and left <= 0
            ):
                return False
        return True

    async def room(self) -> None:
        """``wait`` in an event loop."""
        while not self._room_or_raise():
            await self._waiting.arrive()

    def _room_or_raise(self) -> bool:
        if self._stopped:
            raise RingClosed("the frame queue was closed here")
        if self.has_room:
            return True
        if self._ring.closed(layout.WORD_READER) or self._waiting.peer_gone():
            if self.has_room:  # made just before it went
                return True
            raise RingClosed("the frame queue's reader is gone, and it is full")
        return False

    def watch(self, peer: int | None) -> None:
        """The descriptor of another reader's process."""
        self._waiting.watch(peer)

    def stop(self) -> None:
        """Tell the reader that no more comes, and end what waits here. Any thread. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._ring.words[layout.WORD_WRITER] = Side.CLOSED
            notify(self._ring.descriptors.filled)
            notify(self._ring.descriptors.freed)

    def close(self) -> None:
        """``stop``, and release what this end has; the ring stays. Idempotent."""
        self.stop()
        self._waiting.close()
