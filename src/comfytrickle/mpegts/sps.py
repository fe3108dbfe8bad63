"""What a sequence parameter set says, for H.264 (7.3.2.1.1, annex E) and H.265 (7.3.2.2)."""

from __future__ import annotations

from dataclasses import dataclass

from comfytrickle.mpegts.nal import find_sps, unescape

_MAX_SIZE = 16384  # larger than any level allows; keeps nonsense out
_SUB_WIDTH = (1, 2, 2, 1)  # H.264 table 6-1, H.265 table 6-1, by chroma_format_idc
_SUB_HEIGHT = (1, 2, 1, 1)
# H.264 7.3.2.1.1: profiles whose SPS carries the chroma format
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
# H.264 E.2.1: with constraint_set3_flag these are intra profiles, and nothing is reordered
_INTRA_PROFILES = frozenset({44, 86, 100, 110, 122, 244})


@dataclass(frozen=True, slots=True)
class SpsFacts:
    """Size in pixels after cropping; ``max_reorder`` is how many pictures may precede one in
    decoding order and follow it in output order (None: the stream does not say)."""

    width: int
    height: int
    max_reorder: int | None
    profile_idc: int
    level_idc: int
    chroma_format_idc: int
    bit_depth: int  # of luma


class _Broken(Exception):
    """The bits end too early, or say what cannot be."""


class _Bits:
    """Reads an RBSP bit by bit (7.2) and its Exp-Golomb codes (9.1)."""

    def __init__(self, rbsp: bytes) -> None:
        self._value = int.from_bytes(rbsp, "big")
        self._left = len(rbsp) * 8

    def u(self, count: int) -> int:
        if count > self._left:
            raise _Broken("too short")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def flag(self) -> bool:
        return self.u(1) == 1

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise _Broken("not an Exp-Golomb code")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def sps_facts(codec: str, data: bytes) -> SpsFacts | None:
    """Facts of the first SPS in an access unit; None where there is none or it is broken."""
    nal = find_sps(codec, data)
    if nal is None:
        return None
    try:
        if codec == "h264":
            return _h264(_Bits(unescape(nal[1:])))
        if codec == "hevc":
            return _hevc(_Bits(unescape(nal[2:])))
    except _Broken:
        return None
    return None


def _checked_size(width: int, height: int, crop_x: int, crop_y: int) -> tuple[int, int]:
    """H.264 7.4.2.1.1, H.265 7.4.3.2.1: something is left after cropping."""
    if width > _MAX_SIZE or height > _MAX_SIZE or crop_x >= width or crop_y >= height:
        raise _Broken("no picture of that size")
    return width - crop_x, height - crop_y


def _h264(bits: _Bits) -> SpsFacts:
    profile = bits.u(8)
    constraints = bits.u(8)
    level = bits.u(8)
    bits.ue()  # seq_parameter_set_id
    chroma = 1
    separate = False
    depth = 8
    if profile in _HIGH_PROFILES:
        chroma = _bounded(bits.ue(), 3)
        if chroma == 3:
            separate = bits.flag()
        depth = 8 + _bounded(bits.ue(), 6)
        bits.ue()  # bit_depth_chroma_minus8
        bits.u(1)  # qpprime_y_zero_transform_bypass_flag
        if bits.flag():
            for index in range(12 if chroma == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue()  # log2_max_frame_num_minus4
    order_type = _bounded(bits.ue(), 2)
    if order_type == 0:
        bits.ue()
    elif order_type == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(_bounded(bits.ue(), 255)):
            bits.se()
    bits.ue()  # max_num_ref_frames
    bits.u(1)  # gaps_in_frame_num_value_allowed_flag
    width = 16 * (bits.ue() + 1)
    map_units = bits.ue() + 1
    frames_only = bits.flag()
    height = 16 * map_units * (1 if frames_only else 2)
    if not frames_only:
        bits.u(1)  # mb_adaptive_frame_field_flag
    bits.u(1)  # direct_8x8_inference_flag
    crop_x = crop_y = 0
    if bits.flag():
        array = 0 if separate else chroma  # ChromaArrayType
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        crop_x = (left + right) * _SUB_WIDTH[array]
        crop_y = (top + bottom) * _SUB_HEIGHT[array] * (1 if frames_only else 2)
    width, height = _checked_size(width, height, crop_x, crop_y)
    reorder = _h264_vui_reorder(bits) if bits.flag() else None
    if reorder is None and (
        profile == 66  # Baseline has no B slices (A.2.1)
        or order_type == 2  # output order is decoding order (8.2.1.3)
        or (constraints & 0x10 and profile in _INTRA_PROFILES)
    ):
        reorder = 0
    return SpsFacts(width, height, reorder, profile, level, chroma, depth)


def _bounded(value: int, most: int) -> int:
    if value > most:
        raise _Broken("out of range")
    return value


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """scaling_list() (7.3.2.1.1.1)."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _h264_vui_reorder(bits: _Bits) -> int | None:
    """max_num_reorder_frames of vui_parameters() (E.1.1), where it is."""
    if bits.flag() and bits.u(8) == 255:  # aspect_ratio_idc Extended_SAR
        bits.u(32)
    if bits.flag():  # overscan
        bits.u(1)
    if bits.flag():  # video signal type
        bits.u(4)
        if bits.flag():
            bits.u(24)
    if bits.flag():  # chroma location
        bits.ue()
        bits.ue()
    if bits.flag():  # timing
        bits.u(32)
        bits.u(32)
        bits.u(1)
    nal_hrd = bits.flag()
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.flag()
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.u(1)  # low_delay_hrd_flag
    bits.u(1)  # pic_struct_present_flag
    if not bits.flag():
        return None
    bits.u(1)  # motion_vectors_over_pic_boundaries_flag
    for _ in range(4):
        bits.ue()
    return _bounded(bits.ue(), 16)


def _skip_hrd(bits: _Bits) -> None:
    """hrd_parameters() (E.1.2)."""
    count = _bounded(bits.ue(), 31) + 1
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.u(1)
    bits.u(20)


def _hevc(bits: _Bits) -> SpsFacts:
    bits.u(4)  # sps_video_parameter_set_id
    sub_layers = _bounded(bits.u(3), 6)  # minus1
    bits.u(1)
    # profile_tier_level (7.3.3)
    bits.u(3)
    profile = bits.u(5)
    bits.u(80)
    level = bits.u(8)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for with_profile, with_level in present:
        bits.u(88 * with_profile + 8 * with_level)
    bits.ue()  # sps_seq_parameter_set_id
    chroma = _bounded(bits.ue(), 3)
    separate = chroma == 3 and bits.flag()
    width, height = bits.ue(), bits.ue()
    crop_x = crop_y = 0
    if bits.flag():  # conformance window
        array = 0 if separate else chroma
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        crop_x = (left + right) * _SUB_WIDTH[array]
        crop_y = (top + bottom) * _SUB_HEIGHT[array]
    width, height = _checked_size(width, height, crop_x, crop_y)
    depth = 8 + _bounded(bits.ue(), 8)
    bits.ue()  # bit_depth_chroma_minus8
    bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
    for_all = bits.flag()  # sps_sub_layer_ordering_info_present_flag
    reorder = 0
    for _ in range(sub_layers + 1 if for_all else 1):
        bits.ue()
        reorder = _bounded(bits.ue(), 16)  # the last is that of the highest sub-layer
        bits.ue()
    return SpsFacts(width, height, reorder, profile, level, chroma, depth)
