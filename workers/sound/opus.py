"""Opus in MPEG-TS: descriptors, control header, and how long a packet is. Pure.

The encapsulation is that of the provisional "Encapsulation of Opus in MPEG-TS" (also ETSI TS 103
491) as libavformat writes and reads it; packets are RFC 6716.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comfytrickle.mpegts.stream_types import descriptors
from workers.sound.errors import BadSound

RATE = 48_000  # Opus always counts at this rate (RFC 7845, 4)
_MAX_SAMPLES = 5760  # 120 ms (RFC 6716, 3.2.5)
_MAX_PACKET = 0xFFFF  # no PES packet of sound holds more

_EXTENSION = 0x7F  # EN 300 468: extension_descriptor
_OPUS_EXTENSION = 0x80
_START_TRIM, _END_TRIM, _CONTROL_EXTENSION = 0x10, 0x08, 0x04

# Samples at 48 kHz by the low bits of a TOC's config (RFC 6716, table 2).
_SILK = (480, 960, 1920, 2880)
_HYBRID = (480, 960)
_CELT = (120, 240, 480, 960)


@dataclass(frozen=True, slots=True)
class OpusUnit:
    """One access unit: a control header of ``header`` bytes and a packet, ``length`` together."""

    header: int
    length: int
    samples: int  # at 48 kHz, before trimming
    channels: int  # 1 or 2, as the packet is coded


def opus_descriptors(channels: int) -> bytes:
    """The ES_info loop for mono or stereo: registration, channel configuration."""
    return b"\x05\x04Opus" + bytes((_EXTENSION, 2, _OPUS_EXTENSION, channels))


def opus_channels(loop: bytes) -> int:
    """The number of channels that an ES_info loop says; 2 where it does not."""
    for tag, content in descriptors(loop):
        if tag == _EXTENSION and len(content) >= 2 and content[0] == _OPUS_EXTENSION:
            code = content[1]
            return code if 1 <= code <= 8 else 2  # 0: two channels, each its own (dual mono)
    return 2


# Streams, of which coupled, and order by RFC 7845, 5.1.1.2 for 3 to 8 channels.
_FAMILY_1 = {
    3: (2, 1, (0, 2, 1)),
    4: (2, 2, (0, 1, 2, 3)),
    5: (3, 2, (0, 4, 1, 2, 3)),
    6: (4, 2, (0, 4, 1, 2, 3, 5)),
    7: (4, 3, (0, 4, 1, 2, 3, 5, 6)),
    8: (5, 3, (0, 6, 1, 2, 3, 4, 5, 7)),
}


def opus_head(channels: int) -> bytes:
    """An OpusHead (RFC 7845, 5.1) for a decoder.

    Its pre-skip is 0: the timestamps of a transport stream say when each packet's output sounds.
    """
    head = b"OpusHead\x01" + bytes([channels]) + b"\0\0" + RATE.to_bytes(4, "little") + b"\0\0"
    if channels <= 2:
        return head + b"\0"
    streams, coupled, order = _FAMILY_1[channels]
    return head + bytes((1, streams, coupled, *order))


def with_control_header(packet: bytes) -> bytes:
    """An access unit without trimming. The size is a chain of 255s and a rest."""
    return b"\x7f\xe0" + b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) + packet


def opus_unit(data: Sequence[int], at: int) -> OpusUnit | None:
    """The access unit that begins at ``at``; None while too few bytes are there to tell.

    Raises BadSound where none begins.
    """
    have = len(data)
    if data[at] != 0x7F or (at + 1 < have and data[at + 1] & 0xE0 != 0xE0):
        raise BadSound("no Opus control header")
    body = at + 2
    size = 0
    while True:
        if body >= have:
            return None
        size += data[body]
        body += 1
        if size > _MAX_PACKET:
            raise BadSound("an Opus packet longer than any PES packet")
        if data[body - 1] != 255:
            break
    flags = data[at + 1]
    body += 2 * bool(flags & _START_TRIM) + 2 * bool(flags & _END_TRIM)
    if flags & _CONTROL_EXTENSION:
        if body >= have:
            return None
        body += 1 + data[body]
    if size == 0:
        raise BadSound("an Opus packet without a byte")
    if body >= have or (data[body] & 3 == 3 and body + 1 >= have):
        return None
    toc = data[body]
    second = data[body + 1] if toc & 3 == 3 and size > 1 else None
    samples = _samples(toc, second)
    return OpusUnit(body - at, body - at + size, samples, 2 if toc & 4 else 1)


def _samples(toc: int, second: int | None) -> int:
    config = toc >> 3
    if config < 12:
        frame = _SILK[config & 3]
    elif config < 16:
        frame = _HYBRID[config & 1]
    else:
        frame = _CELT[config & 3]
    if toc & 3 < 3:  # one frame, two alike, two
        frames = 1 if toc & 3 == 0 else 2
    elif second is None:
        raise BadSound("an Opus packet without its frame count")
    else:
        frames = second & 0x3F
    samples = frame * frames
    if not 0 < samples <= _MAX_SAMPLES:
        raise BadSound(f"an Opus packet of {samples} samples")
    return samples
