"""Bytes of a transport stream packet: constants, CRC, timestamps, the adaptation field.

Clauses are of ISO/IEC 13818-1 (Rec. ITU-T H.222.0).
"""

from __future__ import annotations

PACKET = 188  # 2.4.3.2: transport_packet()
SYNC = 0x47
BODY = PACKET - 4  # what follows the four header bytes

PAT_PID = 0x0000
NULL_PID = 0x1FFF
FIRST_FREE_PID = 0x0010  # table 2-3: below are reserved for tables

# The packet header read as one 32-bit word (2.4.3.2).
TRANSPORT_ERROR = 0x0080_0000
UNIT_START = 0x0040_0000
SCRAMBLED = 0x0000_00C0
HAS_ADAPTATION = 0x0000_0020
HAS_PAYLOAD = 0x0000_0010

# The flags byte of the adaptation field (2.4.3.4).
DISCONTINUITY = 0x80
RANDOM_ACCESS = 0x40
PCR_FLAG = 0x10

TIMESTAMP_BITS = 33
TIMESTAMP_MASK = (1 << TIMESTAMP_BITS) - 1


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x8000_0000 else 0)
        table.append(crc & 0xFFFF_FFFF)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc32(data: bytes) -> int:
    """CRC_32 of a section (annex A): 0 over a section that carries its own right CRC."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = ((crc << 8) & 0xFFFF_FFFF) ^ _CRC_TABLE[(crc >> 24) ^ byte]
    return crc


def encode_timestamp(prefix: int, value: int) -> bytes:
    """PTS or DTS as the five bytes of a PES header (2.4.3.6); ``value`` is taken mod 2**33.

    ``prefix`` is 2 (PTS alone), 3 (PTS before a DTS) or 1 (DTS).
    """
    value &= TIMESTAMP_MASK
    coded = (
        (prefix << 36)
        | ((value >> 30) << 33)
        | 1 << 32
        | ((value >> 15 & 0x7FFF) << 17)
        | 1 << 16
        | (value & 0x7FFF) << 1
        | 1
    )
    return coded.to_bytes(5, "big")


def decode_timestamp(data: bytes, at: int) -> int | None:
    """The 33-bit value of the five bytes at ``at``; None where a marker bit is not set."""
    coded = int.from_bytes(data[at : at + 5], "big")
    if coded & 0x01_0001_0001 != 0x01_0001_0001:
        return None
    return (coded >> 33 & 7) << 30 | (coded >> 17 & 0x7FFF) << 15 | (coded >> 1 & 0x7FFF)


def encode_pcr(base: int, extension: int = 0) -> bytes:
    """program_clock_reference: 33 bits of 90 kHz, 6 reserved, 9 bits of 27 MHz (2.4.3.5)."""
    return ((base & TIMESTAMP_MASK) << 15 | 0x3F << 9 | extension).to_bytes(6, "big")


def decode_pcr(data: bytes, at: int) -> int:
    """The 90 kHz base of the PCR at ``at``."""
    return int.from_bytes(data[at : at + 6], "big") >> 15


def signed_difference(a: int, b: int) -> int:
    """``a - b`` on the 33-bit circle, -2**32 .. 2**32 - 1."""
    difference = (a - b) & TIMESTAMP_MASK
    return difference - (1 << TIMESTAMP_BITS) if difference >> TIMESTAMP_BITS - 1 else difference


def adaptation_field(body: bytes) -> tuple[int, int, bool]:
    """Of the 184 bytes after a packet header with an adaptation field: (length, flags, stuffed).

    ``length`` counts the length byte itself, so the payload starts there; 185 and more is
    malformed. ``stuffed`` is True only for bytes beyond what the field's own content takes
    (2.4.3.5, stuffing_byte): a field that is there for a PCR or an indicator is not stuffed.
    """
    length = body[0]
    if length == 0:
        return 1, 0, True  # one byte of stuffing: the only use of an empty field
    if length >= BODY:
        return length + 1, 0, False
    flags = body[1]
    if flags == 0:
        return length + 1, 0, True
    own = 1
    if flags & 0x10:
        own += 6
    if flags & 0x08:
        own += 6
    if flags & 0x04:
        own += 1
    if flags & 0x02:
        own += 1 + (body[1 + own] if own < length else 0)
    if flags & 0x01:
        own += 1 + (body[1 + own] if own < length else 0)
    return length + 1, flags, own < length
