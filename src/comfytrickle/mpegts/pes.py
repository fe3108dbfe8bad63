"""One elementary stream's PES packet in the making: from its first TS packet to an access unit.

ISO/IEC 13818-1 2.4.3.6 and 2.4.3.7.
"""

from __future__ import annotations

from enum import IntEnum

from comfytrickle.mpegts.nal import is_keyframe
from comfytrickle.mpegts.packets import decode_timestamp
from comfytrickle.mpegts.silence import SilencePolicy
from comfytrickle.mpegts.units import AccessUnit, ElementaryStream

MAX_VIDEO_PES = 16 << 20  # bytes; an intra-only 4K frame is well below
MAX_OTHER_PES = 1 << 20  # only video may leave its length open, so 64 KiB is what is legal

# stream_id values whose PES packets have no optional header (2.4.3.7, table 2-22)
_BARE = frozenset({0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF})
_PADDING_STREAM = 0xBE
_RELEARN = 300  # units until a guess that was wrong is tried again (10 s at 30 fps)


class Guess(IntEnum):
    """By what the end of a PES packet is taken to be known before the next one starts."""

    LENGTH = 0  # PES_packet_length; a guess too, for some muxers write nonsense
    STUFFING = 1  # the packet was padded: there was no more to put in
    SEGMENT = 2  # the trickle segment ended
    SILENCE = 3  # nothing came for a while


class PesStream:
    """State of one pid. The demuxer moves it on; this class knows what a PES packet is."""

    def __init__(self, stream: ElementaryStream) -> None:
        self.stream = stream
        self.cc = -1  # the continuity counter that must come next; -1: any
        self.open = False  # a PES packet has begun and is not yet given out
        self.cut: Guess | None = None  # by which guess the last one was given out
        self.parts: list[bytes] = []  # payloads of its TS packets, PES header included
        self.last = b""  # payload of the last TS packet, to tell a duplicate from a gap
        self.room = 0  # payload bytes until it is complete or too large
        self.header = -1  # length of the PES header; -1: not complete yet
        self.need = 0  # bytes after the header, where PES_packet_length says it; else 0
        self.unbounded = True
        self.pts: int | None = None
        self.dts: int | None = None
        self.stream_id = 0
        self.random_access = False
        self.damaged = False  # bytes are missing inside
        self.lost_before = False  # bytes are missing between the unit before and this one
        self.lost_next = False
        self.marks = 0  # bit per guess that would have ended this PES packet here
        self.off = [0, 0, 0, 0]  # per guess: units until it is used again
        self.arrived = 0.0  # of the read that held the last payload
        self.read = -1  # number of that read
        self.aligned = False  # that read ended on a packet boundary
        self.started = 0  # when its first packet came, for the order among pids
        self.silence = SilencePolicy()

    @property
    def growing(self) -> bool:
        """Open, and only a guess or the next start can end it."""
        return self.open and self.header >= 0 and self.unbounded

    def lose(self) -> None:
        """Bytes of this pid are missing here."""
        if self.open:
            self.damaged = True
        else:
            self.lost_next = True
        self.cut = None  # what follows may belong to anything

    def drop(self) -> None:
        """Forget the PES packet in the making."""
        if self.open:
            self.parts = []
            self.open = False
            self.lost_next = True
        self.marks = 0
        self.cut = None

    def allowed(self, guess: Guess) -> bool:
        """Whether this guess may end the unit now; a guess on probation is marked instead."""
        if self.off[guess]:
            self.marks |= 1 << guess
            return False
        return True

    def disproved(self) -> int:
        """More payload came after a guessed end. How many units were cut by it: 0 or 1."""
        for guess in Guess:
            if self.marks >> guess & 1:
                self.off[guess] = _RELEARN
        self.marks = 0
        if self.cut is None:
            return 0
        self.off[self.cut] = _RELEARN
        self.cut = None
        self.lost_next = True
        return 1

    def begin(self, payload: bytes, random_access: bool, started: int) -> None:
        """The first TS packet of a PES packet. Whatever was open has been dealt with."""
        self.open = True
        self.cut = None
        self.marks = 0
        self.parts = [payload]
        self.header = -1
        self.need = 0
        self.unbounded = True
        self.pts = self.dts = None
        self.random_access = random_access
        self.damaged = False
        self.lost_before = self.lost_next
        self.lost_next = False
        self.started = started
        self.room = MAX_VIDEO_PES if self.stream.kind == "video" else MAX_OTHER_PES
        self.room -= len(payload)
        if any(self.off):
            self.off = [max(0, left - 1) for left in self.off]

    def parse_header(self) -> bool:
        """Read the PES header as far as it is there. False: this is no PES packet of a stream."""
        data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        if data[:3] != b"\x00\x00\x01"[: len(data)]:
            return False
        if len(data) < 9:
            return self._sized(data, 6) if len(data) >= 6 and data[3] in _BARE else True
        if data[3] in _BARE:
            return self._sized(data, 6)
        if data[6] & 0xC0 != 0x80:
            return False
        end = 9 + data[8]
        if len(data) < end:
            return True
        which = data[7] >> 6
        if which & 2 and end >= 14:
            self.pts = decode_timestamp(data, 9)
            if which == 3 and end >= 19:
                self.dts = decode_timestamp(data, 14)
        return self._sized(data, end)

    def _sized(self, data: bytes, header: int) -> bool:
        self.stream_id = data[3]
        self.header = header
        length = data[4] << 8 | data[5]
        if length:
            self.need = 6 + length - header
            if self.need < 0:
                return False
            if not self.off[Guess.LENGTH]:
                self.unbounded = False
                self.room = self.need + header - len(data)
        return True

    def finish(self) -> AccessUnit | None:
        """Close it and give it out. None: nothing of it can be used."""
        self.open = False
        parts, self.parts = self.parts, []
        if self.header < 0:
            self.lost_next = True
            return None
        if self.header <= len(parts[0]):
            parts[0] = parts[0][self.header :]
            data = b"".join(parts)
        else:
            data = b"".join(parts)[self.header :]
        if not self.unbounded:
            if len(data) < self.need:
                self.damaged = True
            elif len(data) > self.need:
                data = data[: self.need]
        elif self.need and len(data) != self.need:
            self.off[Guess.LENGTH] = _RELEARN  # on probation, and wrong again
        if not data or self.stream_id == _PADDING_STREAM:
            self.lost_next = self.lost_next or self.damaged or self.lost_before
            return None
        stream = self.stream
        random_access = self.random_access or (
            stream.kind == "video" and is_keyframe(stream.codec, data)
        )
        return AccessUnit(
            stream,
            data,
            self.pts,
            self.dts,
            self.arrived,
            self.stream_id,
            random_access,
            # Decoding can start at a random access unit: what is missing before it does no harm.
            self.damaged or (self.lost_before and not random_access),
        )
