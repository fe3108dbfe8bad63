"""Which program is read, and what streams it has: follows PAT and PMT through their versions.

ISO/IEC 13818-1 2.4.4.
"""

from __future__ import annotations

from comfytrickle.mpegts.packets import NULL_PID, PAT_PID
from comfytrickle.mpegts.psi import (
    PAT_TABLE,
    PMT_TABLE,
    PatSection,
    SectionReader,
    is_current,
    parse_pat,
    parse_pmt,
)
from comfytrickle.mpegts.units import ElementaryStream


class ProgramTables:
    """The first program of the PAT, kept for as long as the PAT names it."""

    def __init__(self) -> None:
        self.pmt_pid = -1
        self.program = -1
        self.pcr_pid = NULL_PID
        self.errors = 0
        self._pat_reader = SectionReader()
        self._pmt_reader = SectionReader()
        self._pat: dict[int, PatSection] = {}
        self._last_pat = b""  # tables repeat: an equal section needs no second look
        self._last_pmt = b""

    def reset_sections(self) -> None:
        """Bytes were lost: a section in the making cannot be completed."""
        self._pat_reader.reset()
        self._pmt_reader.reset()

    def feed(
        self, pid: int, cc: int, starts: bool, payload: bytes
    ) -> dict[int, ElementaryStream] | None:
        """One packet of PAT or PMT. The program's streams by pid where they changed, else None."""
        changed: dict[int, ElementaryStream] | None = None
        if pid == PAT_PID:
            for section in self._pat_reader.feed(cc, starts, payload):
                if section != self._last_pat and section[0] == PAT_TABLE:
                    self._pat_section(section)
            return None
        for section in self._pmt_reader.feed(cc, starts, payload):
            if section != self._last_pmt and section[0] == PMT_TABLE:
                changed = self._pmt_section(section) or changed
        return changed

    def _pat_section(self, section: bytes) -> None:
        part = parse_pat(section)
        if part is None:
            self.errors += 1
            return
        if not is_current(section):
            return
        self._last_pat = section
        known = next(iter(self._pat.values()), None)
        if known is not None and (known.version, known.last) != (part.version, part.last):
            self._pat.clear()
        self._pat[part.number] = part
        if any(number not in self._pat for number in range(part.last + 1)):
            return
        programs = [entry for number in sorted(self._pat) for entry in self._pat[number].programs]
        if not programs or (self.program, self.pmt_pid) in programs:
            return
        self.program, self.pmt_pid = programs[0]
        self._pmt_reader.reset()
        self._last_pmt = b""

    def _pmt_section(self, section: bytes) -> dict[int, ElementaryStream] | None:
        table = parse_pmt(section)
        if table is None:
            self.errors += 1
            return None
        if table.program != self.program or not is_current(section):
            return None  # several programs may share a pid for their tables
        self._last_pmt = section
        self.pcr_pid = table.pcr_pid
        return {stream.pid: stream for stream in table.streams if stream.pid != self.pmt_pid}
