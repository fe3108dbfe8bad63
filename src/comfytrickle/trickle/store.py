"""What a trickle server knows: channels, their windows of segments, and the rules between them.

No HTTP and no timers here; the clock is passed in. "Row" numbers are those of docs/trickle.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from comfytrickle.trickle.protocol import MIME_JSON, SEQ_CURRENT, SEQ_NEXT, WINDOW
from comfytrickle.trickle.segment import Segment

CHANGES = "_changes"  # the changefeed's channel
PROTECTED_PREFIX = "_"  # names that the idle sweep leaves alone


@dataclass(frozen=True)
class Limits:
    """Bounds that keep one client from taking the server's memory or descriptors.

    ``max_segment_bytes``: a POST that goes beyond gets 413, its segment is closed there.
    ``max_channels``: a POST that would create one more gets 503.
    ``max_waiting``: requests that have moved no byte yet (waiting GETs, preconnected POSTs);
    one more gets 503.
    ``reader_stall_s``: a reader that takes no byte for so long while there are some is cut off.
    """

    max_segment_bytes: int = 128 * 1024 * 1024
    max_channels: int = 1000
    max_waiting: int = 10_000
    reader_stall_s: float = 60.0


class StoreFull(Exception):
    """There are ``Limits.max_channels`` channels already."""


class Channel:
    """A name, a mime type, the number that comes next, and a window of WINDOW slots.

    A segment lives in slot ``seq % WINDOW``; placing one evicts (and closes) what was there.
    """

    def __init__(self, name: str, mime: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.mime = mime
        self.next = 0
        self.closed = False
        self._clock = clock
        self._slots: list[Segment | None] = [None] * WINDOW
        self._touched = clock()

    @property
    def idle_s(self) -> float:
        """Seconds since the channel was made or a byte came in."""
        return self._clock() - self._touched

    @property
    def writers(self) -> int:
        """POSTs that are open on it, those that wait for a first byte included."""
        return sum(segment.writers for segment in self.segments())

    def resolve(self, seq: int) -> int:
        """SEQ_NEXT and SEQ_CURRENT as numbers; others as they are (rows 7, 21)."""
        if seq == SEQ_NEXT:
            return self.next
        if seq == SEQ_CURRENT:
            return max(self.next - 1, 0)
        return seq

    def segments(self) -> Iterator[Segment]:
        """The segments in the window, in no particular order."""
        return (segment for segment in self._slots if segment is not None)

    # --- writing ---

    def open_for_write(self, seq: int, *, reset: bool = False) -> Segment:
        """The segment that a POST on ``seq`` (>= 0) writes to (rows 6 to 14).

        It may be closed already (finished, or so old that it left the window): then the body
        belongs nowhere and the caller says so at once. Otherwise the caller is counted as a
        writer and ends with :meth:`finish` or :meth:`leave`.
        """
        if reset:
            for segment in self.segments():
                if segment.seq < seq:
                    self._drop(segment)
        segment = self._find_for_write(seq)
        if not segment.closed:
            segment.writers += 1
        return segment

    def _find_for_write(self, seq: int) -> Segment:
        occupant = self._slots[seq % WINDOW]
        if occupant is not None and occupant.seq == seq:
            return occupant
        lapsed = seq < self.next - WINDOW
        if lapsed and (seq == 0 or not any(s.writers for s in self.segments())):
            self._start_over(seq)
        elif lapsed or (occupant is not None and occupant.seq > seq):
            # A late repeat of something old, while newer segments are being written: it must not
            # take the place of one of those.
            gone = Segment(seq)
            gone.close()
            return gone
        return self._place(seq)

    def _start_over(self, seq: int) -> None:
        """A new publisher counts from ``seq`` again: what lies ahead belongs to the old one."""
        for slot, segment in enumerate(self._slots):
            if segment is not None and segment.seq > seq:
                self._slots[slot] = None
                segment.close()
        self.next = seq

    def append(self, segment: Segment, data: bytes) -> None:
        """Bytes of a writer. The first one makes the segment the channel's current (row 6)."""
        self._touched = self._clock()
        if self.closed or self._at(segment.seq) is not segment:
            return  # row 29, row 34: the publisher goes on, nobody can come to read it
        if not segment.size:
            self._advance(segment.seq + 1)
        segment.append(data)

    def finish(self, segment: Segment) -> None:
        """A writer's body ended: so does the segment, for its readers (rows 6, 9, 11)."""
        segment.writers -= 1
        self._end(segment)

    def leave(self, segment: Segment) -> bool:
        """A writer went away in the middle.

        True: the segment has begun, is open, and nobody writes to it any more; unless somebody
        comes back, its readers wait for nothing.
        """
        segment.writers -= 1
        return self.is_orphan(segment)

    def is_orphan(self, segment: Segment) -> bool:
        """Begun, open, and without a writer."""
        return not segment.writers and segment.size > 0 and not segment.closed

    # --- reading ---

    def open_for_read(self, seq: int) -> Segment | None:
        """The segment that a GET on ``seq`` (>= 0) reads (rows 17 to 24); None: 470.

        The next one is made here if it is not there yet. ``GET /c/1`` on a fresh channel is let
        wait too: it is a reader that was a little faster than the first segment.
        """
        segment = self._at(seq)
        if segment is None and (seq == self.next or (seq == 1 and self.next == 0)):
            segment = self._place(seq)
        return segment

    # --- ending ---

    def delete_segment(self, seq: int) -> bool:
        """Close ``seq`` for its readers (rows 32, 33). False: it is not in the window.

        If it is the next one, ``next`` moves on, so that readers do so too.
        """
        segment = self._at(seq)
        if segment is None:
            return False
        self._drop(segment)
        return True

    def close(self) -> None:
        """End the channel: all that wait are told, all that read come to the end."""
        self.closed = True
        for segment in self.segments():
            if segment.is_preconnected:
                self._end(segment)
            segment.close()

    def _drop(self, segment: Segment) -> None:
        """Close one in the window; next does not stay at it, nor behind a preconnected one."""
        if segment.is_preconnected or segment.seq == self.next:
            self._end(segment)
        else:
            segment.close()

    def _at(self, seq: int) -> Segment | None:
        segment = self._slots[seq % WINDOW]
        return segment if segment is not None and segment.seq == seq else None

    def _place(self, seq: int) -> Segment:
        slot = seq % WINDOW
        evicted = self._slots[slot]
        segment = self._slots[slot] = Segment(seq)
        if evicted is not None:
            evicted.close()
        return segment

    def _end(self, segment: Segment) -> None:
        segment.close()
        if not segment.size and self._at(segment.seq) is segment:
            self._advance(segment.seq + 1)

    def _advance(self, seq: int) -> None:
        # Never back: preconnected segments may begin in another order than their numbers.
        self.next = max(self.next, seq)
        # A segment that was dropped before its turn is no place to wait at (row 33).
        while (segment := self._at(self.next)) is not None and segment.closed:
            self.next += 1


class Store:
    """The channels of one server."""

    def __init__(
        self, *, clock: Callable[[], float], max_channels: int, changefeed: bool = False
    ) -> None:
        self._clock = clock
        self._max_channels = max_channels
        self._channels: dict[str, Channel] = {}
        self._changes: Channel | None = None
        if changefeed:
            self._changes = self.create(CHANGES, MIME_JSON)
            self._announce("added", CHANGES)

    def __len__(self) -> int:
        return len(self._channels)

    def get(self, name: str) -> Channel | None:
        """The living channel of this name."""
        return self._channels.get(name)

    def create(self, name: str, mime: str) -> Channel:
        """The channel of this name, made if it is not there. The first mime type stays.

        Raises StoreFull.
        """
        channel = self._channels.get(name)
        if channel is None:
            if len(self._channels) >= self._max_channels:
                raise StoreFull
            channel = self._channels[name] = Channel(name, mime, self._clock)
            self._announce("added", name)
        elif mime and not channel.mime:
            channel.mime = mime
        return channel

    def delete(self, name: str) -> bool:
        """Remove and close. False: there was none."""
        channel = self._channels.pop(name, None)
        if channel is None:
            return False
        channel.close()
        self._announce("removed", name)
        return True

    def sweep(self, idle_timeout_s: float) -> list[str]:
        """Delete what had no byte for ``idle_timeout_s`` (row 35). Returns the names."""
        idle = [
            name
            for name, channel in self._channels.items()
            if channel.idle_s >= idle_timeout_s and not name.startswith(PROTECTED_PREFIX)
        ]
        for name in idle:
            self.delete(name)
        return idle

    def close(self) -> None:
        """End all channels; nothing is announced any more."""
        self._changes = None
        channels = list(self._channels.values())
        self._channels.clear()
        for channel in channels:
            channel.close()

    def _announce(self, what: str, name: str) -> None:
        feed = self._changes
        if feed is None:
            return
        segment = feed.open_for_write(feed.next)
        feed.append(segment, json.dumps({what: [name]}, separators=(",", ":")).encode())
        feed.finish(segment)
