"""NAL units of H.264 and H.265 byte streams: where they are, and what starts decoding.

Byte stream format: annex B of Rec. ITU-T H.264 and of Rec. ITU-T H.265.
"""

from __future__ import annotations

from collections.abc import Iterator

_START = b"\x00\x00\x01"

# H.264 table 7-1
_H264_VCL_LAST = 5
_H264_IDR = 5
_H264_SEI = 6
_H264_SPS = 7
_H264_PPS = 8
# H.264 annex D.1.1
_RECOVERY_POINT = 6
# H.265 table 7-1
_HEVC_VCL_LAST = 31
_HEVC_IRAP = range(16, 24)
_HEVC_VPS = 32
_HEVC_SPS = 33
_HEVC_PPS = 34


def nal_units(data: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of each NAL unit in ``data``, without start code and trailing zero bytes."""
    at = data.find(_START)
    while at >= 0:
        start = at + 3
        at = data.find(_START, start)
        end = len(data) if at < 0 else at
        while end > start and data[end - 1] == 0:  # B.1.1: a NAL unit never ends with a zero byte
            end -= 1
        if end > start:
            yield start, end


def nal_type(codec: str, first_byte: int) -> int:
    """nal_unit_type: five bits in H.264 (7.3.1), six bits one place up in H.265 (7.3.1.2)."""
    return first_byte >> 1 & 0x3F if codec == "hevc" else first_byte & 0x1F


def is_keyframe(codec: str | None, data: bytes) -> bool:
    """Whether decoding can start with this access unit.

    H.264: an IDR picture (7.4.1.2.4), or a recovery point SEI message (D.2.8) with an SPS.
    H.265: an IRAP picture (7.4.2.2). Looks no further than the first coded slice; other codecs
    and what is no byte stream are False.
    """
    if codec == "h264":
        return _h264_keyframe(data)
    if codec == "hevc":
        at = data.find(_START)
        while 0 <= at < len(data) - 3:
            kind = data[at + 3] >> 1 & 0x3F
            if kind <= _HEVC_VCL_LAST:
                return kind in _HEVC_IRAP
            at = data.find(_START, at + 3)
    return False


def _h264_keyframe(data: bytes) -> bool:
    sps = recovery = False
    at = data.find(_START)
    while 0 <= at < len(data) - 3:
        kind = data[at + 3] & 0x1F
        if 1 <= kind <= _H264_VCL_LAST:
            return kind == _H264_IDR or (sps and recovery)
        following = data.find(_START, at + 3)
        if kind == _H264_SPS:
            sps = True
        elif kind == _H264_SEI:
            end = len(data) if following < 0 else following
            recovery = recovery or _has_recovery_point(data[at + 4 : end])
        at = following
    return False


def _has_recovery_point(sei: bytes) -> bool:
    """sei_message() after sei_message() (7.3.2.3.1) until rbsp_trailing_bits."""
    sei = unescape(sei)
    at = 0
    while at + 2 < len(sei):
        kind = size = 0
        while at < len(sei) and sei[at] == 0xFF:
            kind += 255
            at += 1
        if at < len(sei):
            kind += sei[at]
            at += 1
        while at < len(sei) and sei[at] == 0xFF:
            size += 255
            at += 1
        if at < len(sei):
            size += sei[at]
            at += 1
        if kind == _RECOVERY_POINT:
            return True
        at += size
    return False


def has_parameter_sets(codec: str, data: bytes) -> bool:
    """Whether all parameter sets that a decoder needs to start are in ``data``.

    H.264: SPS and PPS; H.265: VPS, SPS and PPS. Stops at the first coded slice.
    """
    hevc = codec == "hevc"
    missing = {_HEVC_VPS, _HEVC_SPS, _HEVC_PPS} if hevc else {_H264_SPS, _H264_PPS}
    for start, _ in nal_units(data):
        kind = nal_type(codec, data[start])
        missing.discard(kind)
        if not missing:
            return True
        if kind <= _HEVC_VCL_LAST if hevc else 1 <= kind <= _H264_VCL_LAST:
            return False
    return False


def parameter_sets(codec: str, data: bytes) -> bytes:
    """VPS, SPS and PPS of an access unit, as a byte stream of their own."""
    hevc = codec == "hevc"
    wanted = (_HEVC_VPS, _HEVC_SPS, _HEVC_PPS) if hevc else (_H264_SPS, _H264_PPS)
    out = []
    for start, end in nal_units(data):
        kind = nal_type(codec, data[start])
        if kind in wanted:
            out += [b"\x00", _START, data[start:end]]
        elif kind <= _HEVC_VCL_LAST if hevc else 1 <= kind <= _H264_VCL_LAST:
            break
    return b"".join(out)


def find_sps(codec: str, data: bytes) -> bytes | None:
    """The first sequence parameter set's NAL unit, header included."""
    wanted = _HEVC_SPS if codec == "hevc" else _H264_SPS
    for start, end in nal_units(data):
        if nal_type(codec, data[start]) == wanted:
            return data[start:end]
    return None


def unescape(payload: bytes) -> bytes:
    """RBSP: without emulation_prevention_three_byte (H.264 7.3.1, H.265 7.3.1.1)."""
    if b"\x00\x00\x03" not in payload:
        return payload
    out = []
    at = 0
    while True:
        found = payload.find(b"\x00\x00\x03", at)
        if found < 0:
            out.append(payload[at:])
            return b"".join(out)
        out.append(payload[at : found + 2])
        at = found + 3
