"""MPEG transport stream -> access units, each given out as soon as its last byte is in.

ISO/IEC 13818-1 2.4.3. One program: the first of the PAT. Never raises on what it reads, and
holds a bounded number of bytes.
"""

from __future__ import annotations

from struct import Struct

from comfytrickle.mpegts.counters import Counters
from comfytrickle.mpegts.framing import Framer, Lost
from comfytrickle.mpegts.packets import (
    BODY,
    DISCONTINUITY,
    HAS_ADAPTATION,
    HAS_PAYLOAD,
    PACKET,
    PAT_PID,
    RANDOM_ACCESS,
    SCRAMBLED,
    TRANSPORT_ERROR,
    UNIT_START,
    adaptation_field,
)
from comfytrickle.mpegts.pes import Guess, PesStream
from comfytrickle.mpegts.program import ProgramTables
from comfytrickle.mpegts.stream_types import SECTION_TYPES
from comfytrickle.mpegts.units import AccessUnit, ElementaryStream

_PACKET = Struct(f">I{BODY}s")
_PLAIN = 0xFF3F_FF00  # of a header word: sync, priority and pid; the rest is set as expected


class Demuxer:
    """Feed it bytes, get access units.

    ``streams`` is replaced (never changed in place) when a PMT changes the program, so that
    ``is`` tells whether it changed. ``arrived`` of a unit is the ``now`` of the read that held
    its last byte. Damage is reported in the unit that it hit, or else in the next one, unless
    that one is a random access unit.
    """

    def __init__(self) -> None:
        self.streams: dict[int, ElementaryStream] = {}
        self.counters = Counters()
        self._framer = Framer()
        self._tables = ProgramTables()
        self._pes: dict[int, PesStream] = {}
        self._touched: list[PesStream] = []  # got payload in this read
        self._read = 0
        self._starts = 0
        self._now = 0.0
        self._out: list[AccessUnit] = []

    @property
    def awaiting(self) -> bool:
        """A unit is pending that silence() could release: arm a timer of SILENCE_S."""
        return self._framer.aligned and any(
            pes.growing and pes.silence.trusted for pes in self._pes.values()
        )

    def feed(self, data: bytes | memoryview, now: float) -> list[AccessUnit]:
        """The units that ``data``, read at ``now`` (time.monotonic()), completes."""
        self._now = now
        self._read += 1
        for lost, run in self._framer.push(data):
            if lost is Lost.SYNC:
                self._lose_all()
            self._run(run)
        aligned = self._framer.aligned
        for pes in self._touched:
            pes.aligned = aligned
        self._touched.clear()
        self.counters.sync_losses = self._framer.sync_losses
        return self._take()

    def segment_end(self, now: float) -> list[AccessUnit]:
        """A trickle segment ended: it holds whole units, unless its source has shown otherwise.

        A segment that ends inside a packet was cut by something else, and ends no unit.
        """
        if self._framer.aligned:
            self._release(Guess.SEGMENT, now)
        else:
            self._framer.segment_end()
        return self._take()

    def silence(self, now: float) -> list[AccessUnit]:
        """Nothing came for SILENCE_S: release what is pending, where this source allows it."""
        if self._framer.aligned:
            self._release(Guess.SILENCE, now)
        return self._take()

    def flush(self, now: float) -> list[AccessUnit]:
        """The source ended: all that is pending."""
        whole = self._framer.aligned
        for lost, run in self._framer.drain():
            if lost is Lost.SYNC:
                self._lose_all()
            self._run(run)
        self._touched.clear()
        self.counters.sync_losses = self._framer.sync_losses
        for pes in self._pending():
            pes.damaged = pes.damaged or not whole
            self._finish(pes)
        return self._take()

    def discontinuity(self) -> None:
        """Bytes were lost before what comes next: pending units are dropped."""
        self._framer.reset()
        self._tables.reset_sections()
        for pes in self._pes.values():
            self.counters.dropped_units += pes.open
            pes.drop()
            pes.lost_next = True
            pes.cc = -1

    # --- packets ------------------------------------------------------------------------------

    def _run(self, run: memoryview) -> None:
        """Whole packets. The loop's own work is for payload that goes on in the stream at hand:
        one comparison says sync, no error, no start, same pid, no adaptation field, right counter.
        """
        self.counters.packets += len(run) // PACKET
        pes: PesStream | None = None
        append = None
        expected = -1
        room = 0
        for word, body in _PACKET.iter_unpack(run):
            if word == expected and append is not None:
                append(body)
                expected = word & ~15 | (word + 1 & 15)
                room -= BODY
                if room > 0:
                    continue
                if pes is not None:
                    pes.cc = expected & 15
                    pes.room = room
                    self._full(pes)
                    pes = append = None
                    expected = -1
                continue
            if pes is not None:
                pes.cc = expected & 15
                pes.room = room
            pes = self._packet(word, body)
            if pes is not None:
                append = pes.parts.append
                expected = word & _PLAIN | HAS_PAYLOAD | pes.cc
                room = pes.room
            else:
                expected = -1
        if pes is not None:
            pes.cc = expected & 15
            pes.room = room

    def _packet(self, word: int, body: bytes) -> PesStream | None:
        """Any packet. Gives the stream that plain payload may now be appended to."""
        pid = word >> 8 & 0x1FFF
        if pid == self._tables.pmt_pid or pid == PAT_PID:
            self._section_packet(pid, word, body)
            return None
        pes = self._pes.get(pid)
        if pes is None:
            return None
        if word & TRANSPORT_ERROR:
            self._errored(pes, word)
            return None
        if word & SCRAMBLED:
            self.counters.scrambled += 1
            return None
        flags = 0
        stuffed = False
        payload = body
        if word & HAS_ADAPTATION:
            length, flags, stuffed = adaptation_field(body)
            if length > BODY:
                pes.lose()
                return None
            payload = body[length:]
            if flags & DISCONTINUITY:
                pes.cc = -1
        if not word & HAS_PAYLOAD or not payload:
            return None
        gap = False
        if word & 15 != pes.cc and pes.cc >= 0:
            if word & 15 == (pes.cc - 1) & 15 and payload == self._last(pes):
                return None  # a duplicate (2.4.3.3)
            gap = True
            self.counters.continuity_errors += 1
        pes.cc = (word + 1) & 15
        if word & UNIT_START:
            self._start(pes, payload, gap, bool(flags & RANDOM_ACCESS))
        elif not self._continue(pes, payload, gap):
            return None
        return self._settle(pes, stuffed)

    @staticmethod
    def _last(pes: PesStream) -> bytes:
        return pes.parts[-1] if pes.parts else pes.last

    def _start(self, pes: PesStream, payload: bytes, gap: bool, random_access: bool) -> None:
        if gap:
            pes.lose()
        if pes.read >= 0:
            pes.silence.unit_ended(pes.read != self._read and pes.aligned)
        if pes.open:
            self._finish(pes)
        self._starts += 1
        pes.begin(payload, random_access, self._starts)
        self._touch(pes)

    def _continue(self, pes: PesStream, payload: bytes, gap: bool) -> bool:
        """Payload without a start. False: it belongs to nothing that is open."""
        if gap:
            pes.lose()
        elif pes.read >= 0 and (pes.open or pes.cut is not None):
            pes.silence.paused(self._now - pes.arrived)
        if not pes.open:
            pes.last = payload
            self.counters.wrong_cuts += pes.disproved()
            return False
        if pes.marks:
            pes.disproved()
        pes.parts.append(payload)
        pes.room -= len(payload)
        self._touch(pes)
        return True

    def _touch(self, pes: PesStream) -> None:
        if pes.read != self._read:
            pes.read = self._read
            pes.arrived = self._now
            self._touched.append(pes)

    def _settle(self, pes: PesStream, stuffed: bool) -> PesStream | None:
        """After a packet's payload is in: header, and whether that was the end."""
        if pes.header < 0 and not pes.parse_header():
            self._discard(pes)
            return None
        if pes.room <= 0:
            self._full(pes)
            return None
        if pes.header < 0:
            return None
        if stuffed and pes.unbounded and pes.allowed(Guess.STUFFING):
            self._cut(pes, Guess.STUFFING)
            return None
        return None if pes.marks else pes

    def _full(self, pes: PesStream) -> None:
        if pes.unbounded:
            self._discard(pes)
        else:
            self._cut(pes, Guess.LENGTH)

    def _discard(self, pes: PesStream) -> None:
        pes.last = pes.parts[-1]
        pes.drop()
        self.counters.dropped_units += 1

    def _cut(self, pes: PesStream, guess: Guess) -> None:
        self._finish(pes)
        pes.cut = guess

    def _finish(self, pes: PesStream) -> None:
        pes.last = pes.parts[-1]
        unit = pes.finish()
        if unit is not None:
            self._out.append(unit)
            self.counters.units += 1
            self.counters.damaged_units += unit.damaged

    def _errored(self, pes: PesStream, word: int) -> None:
        """transport_error_indicator: of this packet nothing is sure; its pid is likely right."""
        self.counters.transport_errors += 1
        pes.lose()
        pes.cc = -1
        if word & UNIT_START and pes.open:
            self._finish(pes)
            pes.lost_next = True

    def _lose_all(self) -> None:
        for pes in self._pes.values():
            pes.lose()

    # --- ends that no packet shows ------------------------------------------------------------

    def _pending(self) -> list[PesStream]:
        return sorted((p for p in self._pes.values() if p.open), key=lambda p: p.started)

    def _release(self, guess: Guess, now: float) -> None:
        for pes in self._pending():
            if not pes.growing:
                continue
            if guess is Guess.SILENCE and not (
                pes.silence.trusted and pes.silence.long_enough(now - self._now)
            ):
                continue
            if pes.allowed(guess):
                self._cut(pes, guess)

    def _take(self) -> list[AccessUnit]:
        out, self._out = self._out, []
        return out

    # --- tables -------------------------------------------------------------------------------

    def _section_packet(self, pid: int, word: int, body: bytes) -> None:
        if word & (TRANSPORT_ERROR | SCRAMBLED) or not word & HAS_PAYLOAD:
            return
        payload = body
        if word & HAS_ADAPTATION:
            length, _, _ = adaptation_field(body)
            payload = body[length:]
        changed = self._tables.feed(pid, word & 15, bool(word & UNIT_START), payload)
        self.counters.psi_errors = self._tables.errors
        if changed is not None:
            self._follow(changed)

    def _follow(self, streams: dict[int, ElementaryStream]) -> None:
        """A new program: streams that stay the same go on, the others end here."""
        if list(streams.items()) == list(self.streams.items()):
            return
        old = self._pes
        kept: dict[int, PesStream] = {}
        for pid, stream in streams.items():
            if pid in old and old[pid].stream == stream:
                kept[pid] = old[pid]
            elif stream.stream_type not in SECTION_TYPES:
                kept[pid] = PesStream(stream)
        for pes in self._pending():
            if kept.get(pes.stream.pid) is not pes:
                self._finish(pes)
        self._pes = kept
        self.streams = streams
