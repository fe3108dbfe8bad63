"""Bytes in any chunks -> runs of whole, aligned packets. Owns the incomplete tail and the sync."""

from __future__ import annotations

from enum import IntEnum

from comfytrickle.mpegts.packets import PACKET, SYNC

_CONFIRM = 2 * PACKET  # a lone 0x47 says nothing: the two after it must stand there as well
_HIDDEN = 15 * PACKET  # more lost than this, and a 4-bit continuity counter may not show it


class Lost(IntEnum):
    """What was lost right before a run."""

    NOTHING = 0
    PACKETS = 1  # whole packets, few enough for the continuity counters to tell whose
    SYNC = 2  # the packets around it cannot be trusted


Run = tuple[Lost, memoryview]


class Framer:
    """Finds the packets. ``tail`` bytes wait for the rest of theirs."""

    def __init__(self) -> None:
        self.sync_losses = 0
        self._tail: bytes = b""
        self._segment_cut = 0  # the tail's length when a segment ended inside a packet
        self._bad = False  # the tail starts with a packet that has no sync byte
        self._skipped = -1  # bytes skipped so far in search of the sync; -1: in sync

    @property
    def aligned(self) -> bool:
        """Everything so far was whole packets."""
        return not self._tail

    def reset(self) -> None:
        """Forget the tail: what comes next starts anew."""
        self._tail = b""
        self._segment_cut = 0
        self._bad = False
        self._skipped = -1

    def segment_end(self) -> None:
        """A segment ended; inside a packet, the next one may go on with it or start anew."""
        if self._tail and self._skipped < 0 and not self._bad and not self._segment_cut:
            self._segment_cut = len(self._tail)

    def push(self, data: bytes | memoryview) -> list[Run]:
        """The whole packets that are complete with ``data``."""
        if self._tail:
            data = b"".join((self._tail, data))
            self._tail = b""
        if self._skipped < 0 and not self._bad and not self._segment_cut:
            view = memoryview(data)
            count = len(view) // PACKET
            whole = count * PACKET
            if bytes(view[:whole:PACKET]).count(SYNC) == count:
                if whole != len(view):
                    self._tail = bytes(view[whole:])
                return [(Lost.NOTHING, view[:whole])] if count else []
        return self._search(bytes(data), final=False)

    def drain(self) -> list[Run]:
        """The source ended: take what the search for the sync still held back."""
        data, self._tail = self._tail, b""
        runs = self._search(data, final=True)
        self.reset()
        return runs

    def _search(self, data: bytes, *, final: bool) -> list[Run]:
        runs: list[Run] = []
        at = 0
        lost = Lost.NOTHING
        if self._segment_cut:
            cut = self._segment_cut
            if len(data) <= cut + PACKET and not final:
                self._tail = data
                return runs
            self._segment_cut = 0
            fresh = data[cut : cut + 1] + data[cut + PACKET : cut + PACKET + 1]
            if data[PACKET : PACKET + 1] != b"\x47" and fresh == b"\x47\x47":
                self.sync_losses += 1  # the segment was cut short: its last packet is gone
                lost = Lost.SYNC
                at = cut
        while True:
            if self._bad or self._skipped >= 0:
                found = self._hunt(data, at, final)
                if found < 0:
                    return runs
                lost = (
                    Lost.PACKETS
                    if self._skipped % PACKET == 0 and self._skipped <= _HIDDEN
                    else Lost.SYNC
                )
                self._skipped = -1
                at = found
            end = at
            while end + PACKET <= len(data) and data[end] == SYNC:
                end += PACKET
            if end > at:
                runs.append((lost, memoryview(data)[at:end]))
                lost = Lost.NOTHING
            if end + PACKET > len(data):
                self._tail = data[end:]
                return runs
            self.sync_losses += 1
            self._bad = True
            at = end

    def _hunt(self, data: bytes, at: int, final: bool) -> int:
        """Where the packets go on, or -1: not in this data (what may matter is kept)."""
        if self._bad:
            if len(data) - at <= _CONFIRM and not final:
                self._tail = data[at:]
                return -1
            self._bad = False
            # A spoilt sync byte alone leaves the others where they were: prefer that.
            spots = data[at + PACKET : at + _CONFIRM + 1 : PACKET]
            if spots and spots.count(SYNC) == len(spots):
                self._skipped = PACKET
                return at + PACKET
            self._skipped = 1
            at += 1
        while True:
            found = data.find(SYNC, at)
            if found < 0:
                found = len(data)
            self._skipped += found - at
            at = found
            if at == len(data):
                return -1
            spots = data[at : at + _CONFIRM + 1 : PACKET]
            if spots.count(SYNC) == len(spots):
                if len(data) - at > _CONFIRM or (final and len(spots) > 1):
                    return at
                if not final:
                    self._tail = data[at:]
                    return -1
            at += 1
            self._skipped += 1
