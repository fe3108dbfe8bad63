"""NAL units, keyframes and SPS facts, on what x264 and x265 write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytrickle.mpegts.nal import (
    find_sps,
    has_parameter_sets,
    is_keyframe,
    nal_type,
    nal_units,
    unescape,
)
from comfytrickle.mpegts.sps import SpsFacts, sps_facts
from tests.support.tsstreams import encode, packets


def facts(codec: str, **kwargs: object) -> SpsFacts:
    data = packets(encode("libx265" if codec == "hevc" else "libx264", frames=4, **kwargs))[0].data  # type: ignore[arg-type]
    found = sps_facts(codec, data)
    assert found is not None
    return found


def test_nal_units_lie_between_start_codes() -> None:
    data = b"\x00\x00\x00\x01\x67ab\x00\x00\x01\x68c\x00\x00\x00\x00\x01\x65\x00d\x00\x00"
    assert [data[a:b] for a, b in nal_units(data)] == [b"\x67ab", b"\x68c", b"\x65\x00d"]
    assert list(nal_units(b"no start code")) == []
    assert list(nal_units(b"\x00\x00\x01")) == []


def test_unescape() -> None:
    assert unescape(b"a\x00\x00\x03\x01b\x00\x00\x03") == b"a\x00\x00\x01b\x00\x00"
    assert unescape(b"\x00\x00\x03\x00\x00\x03\x00") == b"\x00\x00\x00\x00\x00"
    assert unescape(b"\x00\x03plain") == b"\x00\x03plain"


@pytest.mark.parametrize("bframes", [0, 2])
@pytest.mark.parametrize(("codec", "encoder"), [("h264", "libx264"), ("hevc", "libx265")])
def test_keyframes_are_the_decoders_keyframes(codec: str, encoder: str, bframes: int) -> None:
    found = packets(encode(encoder, frames=25, bframes=bframes))
    assert [is_keyframe(codec, p.data) for p in found] == [p.keyframe for p in found]
    assert sum(p.keyframe for p in found) == 3
    assert [has_parameter_sets(codec, p.data) for p in found] == [p.keyframe for p in found]


def test_a_recovery_point_is_a_keyframe_where_an_sps_comes_with_it() -> None:
    # intra-refresh: after the first frame there is no IDR, only recovery points
    data = encode(frames=30, options={"x264-params": "intra-refresh=1:keyint=10:bframes=0"})
    found = packets(data)
    idr = [any(nal_type("h264", p.data[a]) == 5 for a, _ in nal_units(p.data)) for p in found]
    assert idr == [True] + [False] * 29
    keys = [i for i, p in enumerate(found) if is_keyframe("h264", p.data)]
    assert keys[0] == 0
    assert len(keys) >= 2
    without = found[keys[1]].data
    sps = find_sps("h264", without)
    assert sps is not None
    assert not is_keyframe("h264", without.replace(b"\x00\x00\x01" + sps, b"\x00\x00\x01\x09\xf0"))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("size", [(192, 128), (854, 480), (1920, 1080), (98, 66)])
def test_size_after_cropping(codec: str, size: tuple[int, int]) -> None:
    found = facts(codec, width=size[0], height=size[1])
    assert (found.width, found.height) == size
    assert (found.chroma_format_idc, found.bit_depth) == (1, 8)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_reorder_depth(codec: str) -> None:
    assert facts(codec, bframes=0).max_reorder == 0
    deep = facts(codec, bframes=3).max_reorder
    assert deep is not None
    assert deep >= 1


def test_baseline_reorders_nothing() -> None:
    found = facts("h264", options={"profile": "baseline"})
    assert (found.profile_idc, found.max_reorder) == (66, 0)


def test_interlaced_with_hrd_parameters() -> None:
    params = "interlaced=1:bframes=0:nal-hrd=vbr:vbv-maxrate=2000:vbv-bufsize=2000"
    found = facts("h264", width=854, height=480, options={"x264-params": params})
    assert (found.width, found.height, found.max_reorder) == (854, 480, 0)


class Writer:
    """Bits, to build an SPS by hand."""

    def __init__(self) -> None:
        self.bits = ""

    def u(self, count: int, value: int) -> Writer:
        self.bits += f"{value:0{count}b}"
        return self

    def ue(self, *values: int) -> Writer:
        for value in values:
            code = bin(value + 1)[2:]
            self.bits += "0" * (len(code) - 1) + code
        return self

    def nal(self, header: int) -> bytes:
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        return b"\x00\x00\x01" + bytes([header]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_without_vui_the_depth_is_unknown_but_for_order_type_2() -> None:
    def sps(order_type: int, profile: int = 77, constraints: int = 0) -> bytes:
        out = Writer().u(8, profile).u(8, constraints).u(8, 30).ue(0)
        if profile == 110:
            out.ue(1, 2, 2).u(1, 0).u(1, 0)  # 4:2:0, 10 bits, no scaling matrix
        out.ue(0).ue(order_type)
        if order_type == 0:
            out.ue(4)
        out.ue(1).u(1, 0).ue(39, 29)  # 640x480
        return out.u(1, 1).u(1, 1).u(1, 0).u(1, 0).nal(0x67)

    assert sps_facts("h264", sps(0)) == SpsFacts(640, 480, None, 77, 30, 1, 8)
    assert sps_facts("h264", sps(2)) == SpsFacts(640, 480, 0, 77, 30, 1, 8)
    assert sps_facts("h264", sps(0, profile=66)) == SpsFacts(640, 480, 0, 66, 30, 1, 8)
    assert sps_facts("h264", sps(0, 110, 0x10)) == SpsFacts(640, 480, 0, 110, 30, 1, 10)
    assert sps_facts("h264", sps(0, 110)) == SpsFacts(640, 480, None, 110, 30, 1, 10)


def test_scaling_lists_are_passed_over() -> None:
    matrix = "bframes=0:cqm=jvt:profile=high"
    found = facts("h264", width=98, height=66, options={"x264-params": matrix})
    assert (found.width, found.height, found.max_reorder) == (98, 66, 0)


@pytest.mark.parametrize(("codec", "encoder"), [("h264", "libx264"), ("hevc", "libx265")])
def test_a_truncated_sps_is_none(codec: str, encoder: str) -> None:
    data = packets(encode(encoder, frames=2))[0].data
    sps = find_sps(codec, data)
    assert sps is not None
    whole = sps_facts(codec, b"\x00\x00\x01" + sps)
    assert whole is not None
    for cut in range(1, 12):
        assert sps_facts(codec, b"\x00\x00\x01" + sps[:cut]) is None
    assert sps_facts(codec, b"") is None


@given(st.sampled_from(["h264", "hevc", "other"]), st.binary(max_size=80))
def test_garbage_raises_nothing(codec: str, data: bytes) -> None:
    header = {"h264": b"\x67", "hevc": b"\x42\x01", "other": b""}[codec]
    for start in (b"", b"\x00\x00\x01" + header, b"\x00\x00\x01\x06", b"\x00\x00\x01\x06\x06"):
        found = sps_facts(codec, start + data)
        assert found is None or (0 < found.width <= 16384 and 0 < found.height <= 16384)
        assert is_keyframe(codec, start + data) in (True, False)
        assert has_parameter_sets(codec, start + data) in (True, False)
