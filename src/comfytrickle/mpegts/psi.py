"""Program tables: sections out of packets, PAT and PMT to and from bytes.

ISO/IEC 13818-1 2.4.4: sections may start anywhere in a packet and run over several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comfytrickle.mpegts.packets import (
    BODY,
    FIRST_FREE_PID,
    HAS_PAYLOAD,
    NULL_PID,
    SYNC,
    UNIT_START,
    crc32,
)
from comfytrickle.mpegts.stream_types import classify
from comfytrickle.mpegts.units import ElementaryStream

PAT_TABLE = 0x00
PMT_TABLE = 0x02
_STUFFING = 0xFF  # a table_id that no section has: the rest of the packet is empty
_LONG_HEADER = 8  # up to and with last_section_number
MAX_SECTION = 1024  # 2.4.4.4, 2.4.4.9: section_length <= 1021


class SectionReader:
    """Puts the sections of one pid together. Gives each with its CRC, not yet checked."""

    def __init__(self) -> None:
        self._buffer = b""
        self._next_cc = -1

    def reset(self) -> None:
        self._buffer = b""
        self._next_cc = -1

    def feed(self, cc: int, starts: bool, payload: bytes) -> list[bytes]:
        """``starts`` is payload_unit_start_indicator; ``cc`` the continuity counter."""
        if cc != self._next_cc:
            if self._next_cc >= 0 and cc == (self._next_cc - 1) & 15:
                return []  # a duplicate, or a gap of sixteen: either way nothing to go on with
            self._buffer = b""
        self._next_cc = (cc + 1) & 15
        if not starts:
            if not self._buffer:
                return []
            self._buffer += payload
            return self._take()
        if not payload:
            return []
        start = 1 + payload[0]  # pointer_field
        out: list[bytes] = []
        if self._buffer:
            self._buffer += payload[1:start]
            out = self._take()
        self._buffer = payload[start:]
        return out + self._take()

    def _take(self) -> list[bytes]:
        out: list[bytes] = []
        buffer = self._buffer
        while len(buffer) >= 3 and buffer[0] != _STUFFING:
            end = 3 + ((buffer[1] & 0x0F) << 8 | buffer[2])
            if end > 4096:
                buffer = b""
                break
            if len(buffer) < end:
                self._buffer = buffer
                return out
            out.append(buffer[:end])
            buffer = buffer[end:]
        self._buffer = b"" if buffer[:1] == b"\xff" else buffer
        return out


@dataclass(frozen=True, slots=True)
class PatSection:
    """One section of a PAT: which programs there are and on which pid their PMT is."""

    version: int
    number: int
    last: int
    programs: tuple[tuple[int, int], ...]  # (program_number, PMT pid), network pid left out


@dataclass(frozen=True, slots=True)
class Pmt:
    """A program's streams, in the order of the table."""

    program: int
    version: int
    pcr_pid: int
    streams: tuple[ElementaryStream, ...]


def _valid(section: bytes, table: int) -> bool:
    """Long syntax, of the given table, in force now (2.4.4.5), CRC right."""
    return (
        _LONG_HEADER + 4 <= len(section) <= MAX_SECTION
        and section[0] == table
        and bool(section[1] & 0x80)
        and crc32(section) == 0
    )


def is_current(section: bytes) -> bool:
    """current_next_indicator; False for a table that is only announced."""
    return bool(section[5] & 1)


def parse_pat(section: bytes) -> PatSection | None:
    """None: not a PAT section, or broken (2.4.4.3)."""
    if not _valid(section, PAT_TABLE):
        return None
    programs = []
    for at in range(_LONG_HEADER, len(section) - 7, 4):
        number = section[at] << 8 | section[at + 1]
        if number:
            programs.append((number, (section[at + 2] & 0x1F) << 8 | section[at + 3]))
    return PatSection(section[5] >> 1 & 0x1F, section[6], section[7], tuple(programs))


def parse_pmt(section: bytes) -> Pmt | None:
    """None: not a PMT section, or broken (2.4.4.8)."""
    if not _valid(section, PMT_TABLE) or len(section) < 16:
        return None
    end = len(section) - 4
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    streams: dict[int, ElementaryStream] = {}
    while at + 5 <= end:
        pid = (section[at + 1] & 0x1F) << 8 | section[at + 2]
        following = at + 5 + ((section[at + 3] & 0x0F) << 8 | section[at + 4])
        if following > end:
            return None
        if FIRST_FREE_PID <= pid < NULL_PID:
            streams.setdefault(pid, classify(pid, section[at], section[at + 5 : following]))
        at = following
    if at != end:
        return None
    return Pmt(
        program=section[3] << 8 | section[4],
        version=section[5] >> 1 & 0x1F,
        pcr_pid=(section[8] & 0x1F) << 8 | section[9],
        streams=tuple(streams.values()),
    )


def _section(table: int, extension: int, version: int, content: bytes) -> bytes:
    length = 5 + len(content) + 4
    if length > MAX_SECTION - 3:
        raise ValueError(f"table {table:#x} does not fit one section: {len(content)} bytes")
    head = bytes([table, 0xB0 | length >> 8, length & 0xFF])
    head += extension.to_bytes(2, "big") + bytes([0xC0 | (version & 0x1F) << 1 | 1, 0, 0])
    body = head + content
    return body + crc32(body).to_bytes(4, "big")


def build_pat(program: int, pmt_pid: int, *, transport_stream: int = 1, version: int = 0) -> bytes:
    """A PAT section with one program."""
    content = program.to_bytes(2, "big") + (0xE000 | pmt_pid).to_bytes(2, "big")
    return _section(PAT_TABLE, transport_stream, version, content)


def build_pmt(
    program: int, pcr_pid: int, streams: Sequence[ElementaryStream], *, version: int = 0
) -> bytes:
    """A PMT section; each stream with its descriptors verbatim.

    Raises ValueError where the descriptors do not fit one section (1024 bytes).
    """
    content = (0xE000 | pcr_pid).to_bytes(2, "big") + b"\xf0\x00"
    for stream in streams:
        content += bytes([stream.stream_type]) + (0xE000 | stream.pid).to_bytes(2, "big")
        content += (0xF000 | len(stream.descriptors)).to_bytes(2, "big") + stream.descriptors
    return _section(PMT_TABLE, program, version, content)


def packetize(section: bytes, pid: int, cc: int) -> tuple[bytes, int]:
    """A section as whole packets, its first byte after a pointer of 0; and the next counter."""
    data = b"\x00" + section
    out = []
    start = UNIT_START
    for at in range(0, len(data), BODY):
        word = SYNC << 24 | start | pid << 8 | HAS_PAYLOAD | cc
        out.append(word.to_bytes(4, "big") + data[at : at + BODY].ljust(BODY, b"\xff"))
        cc = (cc + 1) & 15
        start = 0
    return b"".join(out), cc
