"""What an elementary stream of a PMT is: kind and decoder name by stream type and descriptors.

Stream types: ISO/IEC 13818-1 table 2-34; 0x80 and above as ATSC A/53 and SCTE use them.
Descriptors: 13818-1 2.6 (registration), ETSI EN 300 468 (AC-3 0x6A, enhanced AC-3 0x7A).
"""

from __future__ import annotations

from collections.abc import Iterator

from comfytrickle.mpegts.units import ElementaryStream

H264 = 0x1B
HEVC = 0x24
PRIVATE_PES = 0x06

_TYPES: dict[int, tuple[str, str]] = {
    0x01: ("video", "mpeg1video"),
    0x02: ("video", "mpeg2video"),
    0x03: ("audio", "mp3"),  # layers I to III share the type; the decoder reads the header
    0x04: ("audio", "mp3"),
    0x0F: ("audio", "aac"),
    0x10: ("video", "mpeg4"),
    0x11: ("audio", "aac_latm"),
    H264: ("video", "h264"),
    HEVC: ("video", "hevc"),
    0x81: ("audio", "ac3"),
    0x87: ("audio", "eac3"),
}
_REGISTRATIONS: dict[bytes, tuple[str, str]] = {
    b"Opus": ("audio", "opus"),
    b"AC-3": ("audio", "ac3"),
    b"EAC3": ("audio", "eac3"),
    b"HEVC": ("video", "hevc"),
}
_DESCRIPTORS: dict[int, tuple[str, str]] = {0x6A: ("audio", "ac3"), 0x7A: ("audio", "eac3")}

# These carry sections, not PES packets: private sections, DSM-CC, SCTE-35 cues.
SECTION_TYPES = frozenset({0x05, 0x0A, 0x0B, 0x0C, 0x0D, 0x14, 0x16, 0x86})


def descriptors(loop: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each descriptor; ends quietly where a length runs over the loop."""
    at = 0
    while at + 2 <= len(loop):
        end = at + 2 + loop[at + 1]
        if end > len(loop):
            return
        yield loop[at], loop[at + 2 : end]
        at = end


def classify(pid: int, stream_type: int, loop: bytes) -> ElementaryStream:
    """The elementary stream of one PMT line; what is not known is kind "data", codec None."""
    known = _TYPES.get(stream_type)
    if known is None and stream_type == PRIVATE_PES:
        for tag, content in descriptors(loop):
            known = _REGISTRATIONS.get(content[:4]) if tag == 0x05 else _DESCRIPTORS.get(tag)
            if known is not None:
                break
    kind, codec = known or ("data", None)
    return ElementaryStream(pid, stream_type, kind, codec, loop)
