"""Constants and codings of ISO/IEC 13818-1 against values that were not made by our own encoder."""

from __future__ import annotations

import io

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytrickle.mpegts.packets import (
    adaptation_field,
    crc32,
    decode_pcr,
    decode_timestamp,
    encode_pcr,
    encode_timestamp,
    signed_difference,
)
from comfytrickle.mpegts.psi import (
    SectionReader,
    build_pat,
    build_pmt,
    packetize,
    parse_pat,
    parse_pmt,
)
from comfytrickle.mpegts.stream_types import classify
from comfytrickle.mpegts.units import ElementaryStream
from tests.support.tsstreams import encode

VIDEO = ElementaryStream(0x100, 0x1B, "video", "h264")
AUDIO = ElementaryStream(0x101, 0x0F, "audio", "aac", b"\x0a\x04eng\x00")


def test_crc_is_the_mpeg_2_one() -> None:
    assert crc32(b"123456789") == 0x0376E6E7  # the catalogued check value of CRC-32/MPEG-2


def test_timestamp_bytes() -> None:
    # 0x1_2345_6789: bits 32..30 = 4, 29..15 = 0x468a, 14..0 = 0x6789
    assert encode_timestamp(2, 0x1_2345_6789) == bytes([0x29, 0x8D, 0x15, 0xCF, 0x13])
    assert decode_timestamp(bytes([0x29, 0x8D, 0x15, 0xCF, 0x13]), 0) == 0x1_2345_6789


@given(st.integers(-(2**40), 2**40), st.sampled_from([1, 2, 3]))
def test_timestamps_survive_mod_33_bits(value: int, prefix: int) -> None:
    coded = encode_timestamp(prefix, value)
    assert coded[0] >> 4 == prefix
    assert decode_timestamp(b"xx" + coded, 2) == value % 2**33


@pytest.mark.parametrize("byte", [0, 2, 4])
def test_a_timestamp_without_its_marker_bits_is_none(byte: int) -> None:
    coded = bytearray(encode_timestamp(2, 12345))
    coded[byte] &= 0xFE
    assert decode_timestamp(bytes(coded), 0) is None


@given(st.integers(0, 2**33 - 1))
def test_pcr(base: int) -> None:
    assert decode_pcr(encode_pcr(base, 299), 0) == base


def test_signed_difference() -> None:
    assert signed_difference(5, 2**33 - 5) == 10
    assert signed_difference(2**33 - 5, 5) == -10
    assert signed_difference(2**32, 0) == -(2**32)


@pytest.mark.parametrize(
    ("field", "stuffed"),
    [
        (b"\x00", True),  # the single byte
        (b"\x01\x00", True),  # flags, none set
        (b"\x01\x40", False),  # random access indicator
        (b"\x07\x10" + bytes(6), False),  # PCR
        (b"\x08\x10" + bytes(6) + b"\xff", True),  # PCR and one byte more
        (b"\x0d\x18" + bytes(12), False),  # PCR and OPCR
        (b"\x02\x04\x01", False),  # splice countdown
        (b"\x05\x02\x03abc", False),  # private data
        (b"\x06\x02\x03abc\xff", True),
        (b"\x03\x01\x01\x1f", False),  # extension
        (b"\x07\x03\x01a\x01\x1f\xff\xff", True),
    ],
)
def test_only_bytes_beyond_the_fields_own_are_stuffing(field: bytes, stuffed: bool) -> None:
    length, _, found = adaptation_field(field.ljust(184, b"\xaa"))
    assert length == len(field)
    assert found is stuffed


@given(st.integers(0, 255), st.integers(0, 255), st.binary(min_size=182, max_size=182))
def test_any_adaptation_field_is_read(length: int, flags: int, rest: bytes) -> None:
    taken, _, stuffed = adaptation_field(bytes([length, flags]) + rest)
    assert taken == length + 1
    assert not (stuffed and length > 183)


def test_tables_survive() -> None:
    pat = parse_pat(build_pat(7, 0x1000, version=3))
    assert pat is not None
    assert (pat.version, pat.programs) == (3, ((7, 0x1000),))
    pmt = parse_pmt(build_pmt(7, 0x100, [VIDEO, AUDIO], version=31))
    assert pmt is not None
    assert (pmt.program, pmt.version, pmt.pcr_pid) == (7, 31, 0x100)
    assert pmt.streams == (VIDEO, AUDIO)


def test_libavformats_tables_are_read() -> None:
    data = encode(frames=3, audio=True)
    sections: dict[int, bytes] = {}
    for at in range(0, len(data), 188):
        packet = data[at : at + 188]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        if pid in (0, 0x1000) and pid not in sections:
            sections[pid] = SectionReader().feed(packet[3] & 15, True, packet[4:])[0]
    pat, pmt = parse_pat(sections[0]), parse_pmt(sections[0x1000])
    assert pat is not None
    assert pmt is not None
    assert pat.programs == ((1, 0x1000),)
    assert [(s.kind, s.codec) for s in pmt.streams] == [("video", "h264"), ("audio", "aac")]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_broken_section_is_none(where: int, change: int) -> None:
    section = bytearray(build_pmt(1, 0x100, [VIDEO, AUDIO]))
    section[where % len(section)] ^= change
    assert parse_pmt(bytes(section)) is None


def test_a_section_over_several_packets() -> None:
    many = [
        ElementaryStream(0x100 + i, 0x06, "data", None, b"\x80\x20" + bytes([i]) * 32)
        for i in range(20)
    ]
    section = build_pmt(1, 0x100, many)
    data, cc = packetize(section, 0x1000, 14)
    count = len(data) // 188
    assert count > 3
    assert cc == (14 + count) & 15
    reader = SectionReader()
    out = []
    for at in range(0, len(data), 188):
        out += reader.feed(data[at + 3] & 15, bool(data[at + 1] & 0x40), data[at + 4 : at + 188])
    assert out == [section]
    pmt = parse_pmt(out[0])
    assert pmt is not None
    assert list(pmt.streams) == many


def test_two_sections_in_one_packet_and_one_that_ends_behind_the_pointer() -> None:
    first, second = build_pat(1, 0x1000), build_pmt(1, 0x100, [VIDEO])
    reader = SectionReader()
    head = (b"\x00" + first + second[:10]).ljust(10)
    assert reader.feed(0, True, head) == [first]
    rest = second[10:]
    payload = (bytes([len(rest)]) + rest + first).ljust(184, b"\xff")
    assert reader.feed(1, True, payload) == [second, first]


def test_a_section_with_a_packet_missing_is_not_put_together() -> None:
    many = [ElementaryStream(0x100 + i, 0x06, "data", None, bytes(30)) for i in range(20)]
    data, _ = packetize(build_pmt(1, 0x100, many), 0x1000, 0)
    reader = SectionReader()
    assert reader.feed(0, True, data[4:188]) == []
    assert reader.feed(2, False, data[2 * 188 + 4 : 3 * 188]) == []
    assert reader.feed(3, False, data[3 * 188 + 4 : 4 * 188]) == []


@pytest.mark.parametrize(
    ("stream_type", "loop", "kind", "codec"),
    [
        (0x01, b"", "video", "mpeg1video"),
        (0x02, b"", "video", "mpeg2video"),
        (0x03, b"", "audio", "mp3"),
        (0x04, b"", "audio", "mp3"),
        (0x0F, b"", "audio", "aac"),
        (0x11, b"", "audio", "aac_latm"),
        (0x1B, b"", "video", "h264"),
        (0x24, b"", "video", "hevc"),
        (0x81, b"", "audio", "ac3"),
        (0x06, b"\x05\x04Opus\x7f\x02\x80\x02", "audio", "opus"),
        (0x06, b"\x0a\x04eng\x00\x6a\x01\x00", "audio", "ac3"),
        (0x06, b"\x7a\x01\x00", "audio", "eac3"),
        (0x06, b"\x59\x08" + bytes(8), "data", None),
        (0x06, b"\x05\xf0Op", "data", None),
        (0x15, b"", "data", None),
        (0xEE, b"", "data", None),
    ],
)
def test_stream_types(stream_type: int, loop: bytes, kind: str, codec: str | None) -> None:
    stream = classify(0x123, stream_type, loop)
    assert (stream.kind, stream.codec, stream.descriptors) == (kind, codec, loop)
    if codec is not None:
        assert av.codec.Codec(codec, "r").type == kind


def test_one_decoder_name_serves_all_mpeg_audio_layers() -> None:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp2") as out:
        stream = out.add_stream("mp2", rate=48000)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=1152)
        frame.planes[0].update(bytes(1152 * 4))
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    decoder = av.CodecContext.create("mp3", "r")
    frames = decoder.decode(av.Packet(sink.getvalue())) + decoder.decode(None)
    assert [f.samples for f in frames] == [1152]
