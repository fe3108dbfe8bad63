"""The demuxer: right units, as soon as their last byte is in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.packets import encode_timestamp
from comfytrickle.mpegts.psi import build_pat, build_pmt, packetize
from comfytrickle.mpegts.units import AccessUnit, ElementaryStream
from tests.support.tsstreams import encode, packets, pes_header, ts_packet

VIDEO = ElementaryStream(0x100, 0x1B, "video", "h264")
AUDIO = ElementaryStream(0x101, 0x0F, "audio", "aac")
PMT_PID = 0x1000


def tables(*streams: ElementaryStream, version: int = 0, cc: int = 0) -> bytes:
    pmt = build_pmt(1, streams[0].pid, streams, version=version)
    return packetize(build_pat(1, PMT_PID), 0, cc)[0] + packetize(pmt, PMT_PID, cc)[0]


def start(cc: int, mark: bytes = b"A", **kwargs: object) -> bytes:
    """The first packet of an unbounded video PES, full: 170 bytes of ``mark``."""
    head = pes_header(stamps=encode_timestamp(2, 1000))
    return ts_packet(0x100, head + mark * 170, cc, start=True, **kwargs)  # type: ignore[arg-type]


def more(cc: int, mark: bytes = b"a", pid: int = 0x100) -> bytes:
    return ts_packet(pid, mark * 184, cc)


def last(cc: int, mark: bytes = b"z") -> bytes:
    return ts_packet(0x100, mark * 100, cc, field=b"\x00" + b"\xff" * 82)


def ready() -> Demuxer:
    demuxer = Demuxer()
    assert demuxer.feed(tables(VIDEO, AUDIO), 0.0) == []
    assert demuxer.streams == {0x100: VIDEO, 0x101: AUDIO}
    return demuxer


@pytest.mark.parametrize(
    ("encoder", "kwargs"),
    [
        ("libx264", {}),
        ("libx264", {"bframes": 2, "audio": True}),
        ("libx264", {"width": 854, "height": 480, "frames": 12, "noise": 120}),
        ("libx265", {"bframes": 2}),
    ],
)
def test_the_same_packets_as_libavformat(encoder: str, kwargs: dict[str, int]) -> None:
    data = encode(encoder, **kwargs)  # type: ignore[arg-type]
    demuxer = Demuxer()
    units = demuxer.feed(data, 1.0) + demuxer.flush(2.0)
    for kind in ("video", "audio"):
        ours = [u for u in units if u.stream.kind == kind]
        theirs = packets(data, kind)
        if kind == "video":
            assert [u.random_access for u in ours] == [p.keyframe for p in theirs]
            assert [u.data for u in ours] == [p.data for p in theirs]
            stamps = [(u.pts, u.pts if u.dts is None else u.dts) for u in ours]
            assert stamps == [(p.pts, p.dts) for p in theirs]
        else:  # a PES packet holds several ADTS frames, which libavformat takes apart
            assert b"".join(u.data for u in ours) == b"".join(p.data for p in theirs)
            assert {u.stream_id for u in ours} <= {0xC0}
    assert not any(u.damaged for u in units)
    counters = demuxer.counters
    assert counters.units == len(units)
    assert counters.packets == len(data) // 188
    assert counters.continuity_errors == counters.sync_losses == counters.wrong_cuts == 0


def test_units_come_with_their_last_packet() -> None:
    """All but the few that fill their packet exactly."""
    data = encode(frames=40, width=320, height=192, noise=60)
    demuxer = Demuxer()
    theirs = packets(data)
    units: list[AccessUnit] = []
    late = 0
    for at in range(0, len(data), 188):
        for unit in demuxer.feed(data[at : at + 188], float(at)):
            units.append(unit)
            late += unit.arrived < at  # arrived: when its last byte did
    units += demuxer.flush(1e9)
    assert [u.data for u in units] == [p.data for p in theirs]
    assert late <= 3


def test_chunks_of_any_kind_of_buffer() -> None:
    data = encode(frames=10)
    expected = [p.data for p in packets(data)]
    make: Callable[[bytes], bytes | memoryview]
    for make in (bytes, memoryview):
        demuxer = Demuxer()
        units = demuxer.feed(make(data[:5000]), 0.0) + demuxer.feed(make(data[5000:]), 0.0)
        assert [u.data for u in units + demuxer.flush(0.0)] == expected


def test_stuffing_ends_a_unit_and_the_next_start_does() -> None:
    demuxer = ready()
    assert demuxer.feed(start(0) + more(1), 1.0) == []
    (unit,) = demuxer.feed(last(2), 2.0)
    assert unit == AccessUnit(VIDEO, b"A" * 170 + b"a" * 184 + b"z" * 100, 1000, None, 2.0)
    assert demuxer.feed(start(3, b"B") + more(4), 3.0) == []
    (unit,) = demuxer.feed(start(5, b"C"), 4.0)
    assert (unit.data, unit.arrived) == (b"B" * 170 + b"a" * 184, 3.0)
    assert demuxer.counters.wrong_cuts == 0


def test_a_unit_in_a_single_packet() -> None:
    demuxer = ready()
    head = pes_header(stamps=encode_timestamp(3, 9) + encode_timestamp(1, 5))
    head = head[:7] + b"\xc0" + head[8:]
    spare = 184 - 1 - len(head) - 10
    packet = ts_packet(
        0x100, head + b"x" * 10, 0, start=True, field=b"\x40" + b"\xff" * (spare - 1)
    )
    (unit,) = demuxer.feed(packet, 1.0)
    assert unit == AccessUnit(VIDEO, b"x" * 10, 9, 5, 1.0, random_access=True)


def test_a_field_for_a_pcr_or_an_indicator_ends_nothing() -> None:
    demuxer = ready()
    field = b"\x50" + bytes(6)
    head = pes_header()
    first = ts_packet(0x100, head + b"A" * (176 - len(head)), 0, start=True, field=field)
    middle = ts_packet(0x100, b"b" * 176, 1, field=field)
    private = ts_packet(0x100, b"c" * 178, 2, field=b"\x02\x03abc")
    assert demuxer.feed(first + middle + private, 1.0) == []
    (unit,) = demuxer.feed(last(3), 1.0)
    assert unit.data == b"A" * 167 + b"b" * 176 + b"c" * 178 + b"z" * 100
    assert unit.random_access


def test_a_length_that_is_reached_ends_a_unit() -> None:
    demuxer = ready()
    head = pes_header(0xC0, length=3 + 175 + 184, stamps=b"")
    first = ts_packet(0x101, head + b"A" * 175, 0, start=True)
    assert demuxer.feed(first, 1.0) == []
    (unit,) = demuxer.feed(more(1, pid=0x101), 2.0)
    assert (unit.data, unit.stream, unit.stream_id) == (b"A" * 175 + b"a" * 184, AUDIO, 0xC0)
    assert not unit.damaged


def test_bytes_behind_the_length_are_not_the_units() -> None:
    demuxer = ready()
    head = pes_header(0xC0, length=3 + 100)
    (unit,) = demuxer.feed(ts_packet(0x101, head + b"A" * 175, 0, start=True), 1.0)
    assert unit.data == b"A" * 100


def test_a_header_over_several_packets() -> None:
    demuxer = ready()
    stamps = encode_timestamp(2, 77)
    head = b"\x00\x00\x01\xe0\x00\x00\x80\x80" + bytes([255]) + stamps + b"\xff" * 250
    body = bytes(range(115))
    whole = head + body
    private = b"\x02" + bytes([170]) + bytes(170)
    first = ts_packet(0x100, whole[:11], 0, start=True, field=private)
    assert demuxer.feed(first, 1.0) == []
    assert demuxer.feed(ts_packet(0x100, whole[11:195], 1), 1.0) == []
    assert demuxer.feed(ts_packet(0x100, whole[195:379], 2), 1.0) == []
    (unit,) = demuxer.feed(last(3), 1.0)
    assert (unit.data, unit.pts) == (body + b"z" * 100, 77)


def test_segment_end_releases_and_so_does_flush() -> None:
    demuxer = ready()
    demuxer.feed(start(0), 1.0)
    (unit,) = demuxer.segment_end(5.0)
    assert (unit.data, unit.arrived, unit.damaged) == (b"A" * 170, 1.0, False)
    demuxer.feed(tables(VIDEO, AUDIO, cc=1) + start(1, b"B"), 6.0)
    (unit,) = demuxer.flush(7.0)
    assert unit.data == b"B" * 170
    assert demuxer.counters.wrong_cuts == 0
    assert demuxer.flush(8.0) == []


def test_a_segment_that_cuts_frames_is_found_out_and_learned() -> None:
    demuxer = ready()
    cc = 0
    demuxer.feed(start(cc), 1.0)
    assert len(demuxer.segment_end(1.0)) == 1  # wrong: the frame goes on
    assert demuxer.feed(more(cc + 1), 1.1) == []
    assert demuxer.counters.wrong_cuts == 1
    (unit,) = demuxer.feed(start(cc + 2, b"B") + last(cc + 3), 1.2)
    assert unit.damaged  # the decoder has seen half a frame: skip to the next keyframe
    cc += 4
    for _ in range(350):  # from now on no unit is cut
        demuxer.feed(start(cc, b"C"), 2.0)
        assert demuxer.segment_end(2.0) == []
        (unit,) = demuxer.feed(more(cc + 1) + last(cc + 2), 2.0)
        assert unit.data == b"C" * 170 + b"a" * 184 + b"z" * 100
        assert not unit.damaged
        cc += 3
    for _ in range(301):  # segments end with frames again: this is learned too
        demuxer.feed(start(cc, b"D"), 3.0)
        held = demuxer.segment_end(3.0)
        cc += 1
    assert [u.data for u in held] == [b"D" * 170]
    assert demuxer.counters.wrong_cuts == 1


def test_stuffing_in_the_middle_is_found_out() -> None:
    demuxer = ready()
    assert len(demuxer.feed(start(0) + last(1), 1.0)) == 1
    assert demuxer.feed(more(2) + last(3), 1.0) == []
    assert demuxer.counters.wrong_cuts == 1
    units = demuxer.feed(start(4) + last(5) + more(6) + start(7), 1.0)
    assert [u.data for u in units] == [b"A" * 170 + b"z" * 100 + b"a" * 184]
    assert units[0].damaged
    assert demuxer.counters.wrong_cuts == 1


def test_a_damage_before_a_keyframe_is_over_with_it() -> None:
    demuxer = ready()
    demuxer.feed(start(0) + last(1) + more(2), 1.0)
    key = b"\x00\x00\x01\x65" + b"k" * 166
    head = pes_header(stamps=encode_timestamp(2, 1))
    (unit,) = demuxer.feed(ts_packet(0x100, head + key, 3, start=True) + start(4), 1.0)
    assert (unit.data, unit.random_access, unit.damaged) == (key, True, False)


def test_a_wrong_length_is_found_out() -> None:
    demuxer = ready()
    head = pes_header(length=3 + 100)
    wrong = ts_packet(0x100, head + b"A" * 175, 0, start=True)
    assert [u.data for u in demuxer.feed(wrong, 1.0)] == [b"A" * 100]
    assert demuxer.feed(last(1), 1.0) == []
    wrong = ts_packet(0x100, head + b"A" * 175, 2, start=True)
    (unit,) = demuxer.feed(wrong + last(3), 1.0)
    assert unit.data == b"A" * 175 + b"z" * 100
    assert demuxer.counters.wrong_cuts == 1


def test_a_new_pmt_changes_the_streams_and_ends_what_is_gone() -> None:
    demuxer = ready()
    before = demuxer.streams
    assert demuxer.feed(tables(VIDEO, AUDIO, cc=1), 1.0) == []
    assert demuxer.streams is before
    demuxer.feed(start(0), 1.0)
    other = ElementaryStream(0x102, 0x24, "video", "hevc", b"\x05\x04HEVC")
    (unit,) = demuxer.feed(tables(other, AUDIO, version=1, cc=2), 2.0)
    assert (unit.stream, unit.data) == (VIDEO, b"A" * 170)
    assert demuxer.streams == {0x102: other, 0x101: AUDIO}
    assert before == {0x100: VIDEO, 0x101: AUDIO}
    assert demuxer.feed(start(1) + start(2), 3.0) == []  # no longer of the program


def test_a_table_that_is_announced_only_or_broken_is_not_followed() -> None:
    demuxer = ready()
    pmt = bytearray(build_pmt(1, 0x101, [AUDIO], version=1))
    pmt[-1] ^= 1
    demuxer.feed(packetize(bytes(pmt), PMT_PID, 1)[0], 1.0)
    assert demuxer.counters.psi_errors == 1
    other = build_pmt(2, 0x101, [AUDIO], version=1)  # of another program on the same pid
    demuxer.feed(packetize(other, PMT_PID, 2)[0], 1.0)
    assert demuxer.streams == {0x100: VIDEO, 0x101: AUDIO}


def test_the_first_program_is_read_and_a_new_pat_is_followed() -> None:
    demuxer = Demuxer()
    demuxer.feed(start(0) + start(1), 0.0)  # nothing known yet: wait
    assert demuxer.streams == {}
    demuxer.feed(packetize(build_pmt(1, 0x100, [VIDEO]), 0x1000, 0)[0], 0.0)
    assert demuxer.streams == {}
    demuxer.feed(packetize(build_pat(5, 0x1100), 0, 0)[0], 0.0)
    demuxer.feed(packetize(build_pmt(5, 0x101, [AUDIO]), 0x1100, 0)[0], 0.0)
    assert demuxer.streams == {0x101: AUDIO}
    # a restarted source: the table's pid was an elementary stream's before
    demuxer.feed(packetize(build_pat(6, 0x101, version=1), 0, 1)[0], 0.0)
    demuxer.feed(packetize(build_pmt(6, 0x100, [VIDEO]), 0x101, 0)[0], 0.0)
    assert demuxer.streams == {0x100: VIDEO}


def test_sections_on_a_listed_pid_are_no_units() -> None:
    cue = ElementaryStream(0x102, 0x86, "data", None)
    demuxer = Demuxer()
    demuxer.feed(tables(VIDEO, cue), 0.0)
    section = b"\x00\xfc\x30\x11".ljust(184, b"\xff")
    assert demuxer.feed(ts_packet(0x102, section, 0, start=True), 1.0) == []
    assert demuxer.flush(2.0) == []
    assert demuxer.counters.dropped_units == 0
    assert 0x102 in demuxer.streams


def test_private_stream_2_has_no_optional_header() -> None:
    data = ElementaryStream(0x103, 0x06, "data", None)
    demuxer = Demuxer()
    demuxer.feed(tables(VIDEO, data), 0.0)
    packet = b"\x00\x00\x01\xbf\x00\x05hello".ljust(184, b"\xff")
    (unit,) = demuxer.feed(ts_packet(0x103, packet, 0, start=True), 1.0)
    assert (unit.data, unit.stream_id, unit.pts) == (b"hello", 0xBF, None)


def test_large_video_units_from_our_own_muxer_end_at_once_whatever_their_size() -> None:
    muxer = Muxer([VIDEO])
    demuxer = Demuxer()
    demuxer.feed(muxer.tables(), 0.0)
    for size in [*range(1, 200), *range(65_300, 65_800)]:
        (unit,) = demuxer.feed(muxer.write(0x100, b"\x5a" * size, size), float(size))
        assert (len(unit.data), unit.pts, unit.arrived) == (size, size, float(size))
    assert demuxer.counters.wrong_cuts == 0
