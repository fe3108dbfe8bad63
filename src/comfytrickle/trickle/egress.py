"""A segment's bytes on their way to one reader."""

from __future__ import annotations

import asyncio

from aiohttp.abc import AbstractStreamWriter

from comfytrickle.trickle.segment import Segment

_BATCH_BYTES = 256 * 1024  # handed to the transport in one go; what a slow reader holds twice
_CONGESTED_BYTES = 64 * 1024  # asyncio's own high-water mark


async def first_byte_or_close(segment: Segment) -> None:
    """Wait until the segment has a byte or is closed."""
    if segment.size or segment.closed:
        return
    changed = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not changed.done():
            changed.set_result(None)

    segment.listeners.add(wake)
    try:
        await changed
    finally:
        segment.listeners.discard(wake)


class Egress:
    """Writes one segment to one connection, from its first byte to its end.

    While the reader keeps up, the publisher's append writes to the reader's transport directly.
    When the transport's buffer is full, this reader's own task takes over and catches up at the
    reader's pace; the publisher never waits.

    ``chunked``: HTTP/1.1 framing, one HTTP chunk per write; the reply's own end-of-body stays with
    the caller.
    """

    def __init__(
        self,
        segment: Segment,
        writer: AbstractStreamWriter,
        transport: asyncio.Transport,
        *,
        chunked: bool,
        stall_s: float,
    ) -> None:
        self._segment = segment
        self._writer = writer
        self._transport = transport
        self._chunked = chunked
        self._stall_s = stall_s
        self._position = 0
        self._idle: asyncio.Future[None] | None = None  # set while append writes directly

    async def run(self) -> None:
        """Return when all was handed over, or when the connection is closing."""
        loop = asyncio.get_running_loop()
        segment, transport = self._segment, self._transport
        segment.listeners.add(self._on_change)
        try:
            while not transport.is_closing():
                if self._push():
                    await self._drain()
                elif self._position < len(segment.chunks):
                    await asyncio.sleep(0)  # a long segment to a fast reader: let others run too
                elif segment.closed:
                    return
                else:
                    self._idle = loop.create_future()
                    await self._idle
        finally:
            segment.listeners.discard(self._on_change)
            self._idle = None

    def _on_change(self) -> None:
        idle = self._idle
        if idle is None or idle.done():
            return  # the task is at work and will see the change itself
        if not self._transport.is_closing() and not self._push() and not self._segment.closed:
            return
        idle.set_result(None)

    def _push(self) -> bool:
        """Hand over what fits into one batch. True: the transport has enough for now."""
        batch, self._position = self._segment.take(self._position, _BATCH_BYTES)
        if batch:
            if self._chunked:
                size = sum(map(len, batch))
                batch = [b"%x\r\n" % size, *batch, b"\r\n"]
            self._transport.writelines(batch)
        return self._transport.get_write_buffer_size() > _CONGESTED_BYTES

    async def _drain(self) -> None:
        """Wait for room; give up on a reader that takes nothing at all."""
        transport = self._transport
        before = transport.get_write_buffer_size()
        try:
            await asyncio.wait_for(self._writer.drain(), self._stall_s)
        except asyncio.TimeoutError:
            if transport.get_write_buffer_size() >= before:
                transport.abort()
