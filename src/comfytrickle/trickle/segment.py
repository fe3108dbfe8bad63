"""One segment of a channel: its bytes so far, who writes, and who must be told of more."""

from __future__ import annotations

from collections.abc import Callable

Listener = Callable[[], None]


class Segment:
    """Bytes ``seq`` of a channel, as a list of chunks that only grows.

    Readers hold their own position (an index into ``chunks``), so a slow one keeps nobody waiting,
    and nothing is copied. Listeners are called directly, in the writer's own step, after each
    append and once at the close: what follows on a byte needs no task switch.

    One event loop owns a segment; nothing here is thread-safe.
    """

    __slots__ = ("chunks", "closed", "listeners", "seq", "size", "writers")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.chunks: list[bytes] = []
        self.size = 0  # bytes
        self.closed = False  # readers that have seen all chunks are at the end
        self.writers = 0  # POSTs that are open on it
        self.listeners: set[Listener] = set()

    @property
    def is_preconnected(self) -> bool:
        """A POST waits here that has not sent a byte yet."""
        return self.writers > 0 and not self.size and not self.closed

    def append(self, data: bytes) -> None:
        """Add a chunk and tell the listeners. Allowed after the close: later readers see it."""
        self.chunks.append(data)
        self.size += len(data)
        self._tell()

    def close(self) -> None:
        """End it for the readers. Idempotent."""
        if not self.closed:
            self.closed = True
            self._tell()

    def take(self, position: int, max_bytes: int) -> tuple[list[bytes], int]:
        """Chunks from ``position`` on: at least one where there is one, about ``max_bytes``.

        Returns the chunks and the position after them.
        """
        end = position
        size = 0
        chunks = self.chunks
        while end < len(chunks) and size < max_bytes:
            size += len(chunks[end])
            end += 1
        return chunks[position:end], end

    def _tell(self) -> None:
        for listener in tuple(self.listeners):
            listener()
