"""The muxer's output, as libavformat and our own demuxer read it."""

from __future__ import annotations

import io
from itertools import pairwise

import av
import av.logging
import pytest

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.mux import PCR_DELAY, Muxer
from comfytrickle.mpegts.packets import adaptation_field, decode_pcr
from comfytrickle.mpegts.units import CLOCK, AccessUnit, ElementaryStream
from tests.support.tsstreams import decoded, encode, packets

VIDEO = ElementaryStream(0x100, 0x1B, "video", "h264")
AUDIO = ElementaryStream(0x101, 0x0F, "audio", "aac", b"\x0a\x04eng\x00")


def split(data: bytes) -> tuple[Demuxer, list[AccessUnit]]:
    demuxer = Demuxer()
    return demuxer, demuxer.feed(data, 0.0) + demuxer.flush(0.0)


def segments(muxer: Muxer, units: list[AccessUnit], shift: int = 0) -> list[bytes]:
    out: list[bytes] = []
    for unit in units:
        head = b""
        if unit.stream.kind == "video" and unit.random_access:
            out.append(b"")
            head = muxer.tables()
        assert unit.pts is not None
        out[-1] += head + muxer.write(
            unit.stream.pid,
            unit.data,
            unit.pts + shift,
            None if unit.dts is None else unit.dts + shift,
            keyframe=bool(head),
            stream_id=unit.stream_id,
        )
    return out


def counters_are_continuous(data: bytes) -> bool:
    last: dict[int, int] = {}
    for at in range(0, len(data), 188):
        pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
        payload, cc = data[at + 3] & 0x10, data[at + 3] & 15
        if pid in last and cc != (last[pid] + bool(payload)) & 15:
            return False
        last[pid] = cc
    return True


def pcrs(data: bytes) -> list[tuple[int, int, bool]]:
    """(pid, 90 kHz base, with discontinuity_indicator) of each PCR."""
    out = []
    for at in range(0, len(data), 188):
        if data[at + 3] & 0x20:
            body = data[at + 4 : at + 188]
            length, flags, _ = adaptation_field(body)
            if length > 1 and flags & 0x10:
                pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
                out.append((pid, decode_pcr(body, 2), bool(flags & 0x80)))
    return out


@pytest.mark.parametrize(
    ("encoder", "kwargs"),
    [
        ("libx264", {"audio": True}),
        ("libx264", {"bframes": 2}),
        ("libx264", {"width": 854, "height": 480, "noise": 180, "frames": 11}),  # > 64 KiB
        ("libx265", {"bframes": 2, "audio": True}),
    ],
)
def test_what_goes_in_comes_out(encoder: str, kwargs: dict[str, int]) -> None:
    source = encode(encoder, **kwargs)  # type: ignore[arg-type]
    demuxer, units = split(source)
    muxer = Muxer(list(demuxer.streams.values()))
    parts = segments(muxer, units)
    assert len(parts) == (kwargs.get("frames", 30) + 9) // 10
    whole = b"".join(parts)

    again, back = split(whole)
    assert again.streams == demuxer.streams
    assert [(u.stream, u.data, u.pts, u.dts, u.stream_id) for u in back] == [
        (u.stream, u.data, u.pts, u.dts, u.stream_id) for u in units
    ]
    assert again.counters.continuity_errors == again.counters.wrong_cuts == 0

    av.logging.set_level(av.logging.VERBOSE)
    try:
        with av.logging.Capture() as log:
            for kind in ("video", "audio"):
                assert packets(whole, kind) == packets(source, kind)
            pictures = decoded(source)
            assert decoded(whole) == pictures
            assert [picture for part in parts for picture in decoded(part)] == pictures
    finally:
        av.logging.set_level(None)
    assert [entry for entry in log if entry[0] <= av.logging.WARNING] == []
    assert counters_are_continuous(whole)


def test_every_unit_is_complete_at_once() -> None:
    _, units = split(encode(frames=12, noise=60))
    muxer = Muxer([VIDEO])
    demuxer = Demuxer()
    demuxer.feed(muxer.tables(), 0.0)
    for unit in units:
        assert unit.pts is not None
        data = muxer.write(0x100, unit.data, unit.pts, keyframe=unit.random_access)
        assert len(data) % 188 == 0
        (same,) = demuxer.feed(data, 1.0)
        assert (same.data, same.pts, same.random_access) == (
            unit.data,
            unit.pts,
            unit.random_access,
        )


def test_a_segment_says_where_it_can_be_entered() -> None:
    muxer = Muxer([VIDEO])
    data = muxer.write(0x100, b"\x00\x00\x01\x65", 0, keyframe=True)
    assert data[3] & 0x20
    assert data[5] & 0x40
    data = muxer.write(0x100, b"\x00\x00\x01\x41", 3000)
    assert not data[5] & 0x40


def test_timestamps_wrap() -> None:
    demuxer, units = split(encode(frames=12, bframes=2))
    first = units[0].pts
    assert first is not None
    muxer = Muxer(list(demuxer.streams.values()))
    whole = b"".join(segments(muxer, units, shift=2**33 * 3 - first - 6 * 3000))
    _, back = split(whole)
    stamps = [u.pts for u in back]
    assert stamps == [
        (u.pts + 2**33 - first - 6 * 3000) % 2**33 for u in units if u.pts is not None
    ]
    assert min(p for p in stamps if p is not None) < 60_000
    with av.open(io.BytesIO(whole), "r", format="mpegts") as container:
        times = [frame.pts for frame in container.decode(video=0)]
    assert [b - a for a, b in pairwise(times)] == [3000] * 11  # type: ignore[operator]
    clock = [base for _, base, jump in pcrs(whole) if not jump]
    assert len(clock) == 12
    steps = [(b - a) % 2**33 for a, b in pairwise(clock)]
    assert set(steps) == {3000}


def test_the_clock_is_ahead_of_decoding_and_often_enough() -> None:
    muxer = Muxer([VIDEO, AUDIO])
    out = muxer.tables()
    for index in range(10):  # 4 fps, so that frames alone are too rare
        at = index * CLOCK // 4
        out += muxer.write(0x100, b"\x00\x00\x01\x41" + bytes(300), at)
    found = pcrs(out)
    assert {pid for pid, _, _ in found} == {0x100}
    clock = [base if base < 2**32 else base - 2**33 for _, base, _ in found]
    assert max(b - a for a, b in pairwise(clock)) <= CLOCK // 10
    assert {index * CLOCK // 4 - PCR_DELAY for index in range(10)} <= set(clock)
    assert counters_are_continuous(out)


def test_audio_keeps_the_clock_going_while_video_pauses() -> None:
    muxer = Muxer([VIDEO, AUDIO])
    out = muxer.write(0x100, b"\x00\x00\x01\x65", CLOCK)
    for at in range(CLOCK, 4 * CLOCK, 1920):
        out += muxer.write(0x101, b"\xff\xf1" + bytes(200), at)
    out += muxer.write(0x100, b"\x00\x00\x01\x41", 4 * CLOCK)
    found = pcrs(out)
    assert {pid for pid, _, _ in found} == {0x100}
    clock = [base for _, base, _ in found]
    assert clock == sorted(clock)
    assert max(b - a for a, b in pairwise(clock)) <= CLOCK // 10 + 1920
    assert not any(jump for _, _, jump in found)
    assert counters_are_continuous(out)


def test_a_clock_that_steps_back_says_so() -> None:
    muxer = Muxer([VIDEO])
    out = muxer.write(0x100, b"x", 100 * CLOCK) + muxer.write(0x100, b"x", 5 * CLOCK)
    assert [jump for _, _, jump in pcrs(out)] == [False, True]


def test_audio_alone_carries_the_clock() -> None:
    muxer = Muxer([AUDIO])
    out = muxer.tables() + muxer.write(0x101, b"\xff\xf1" + bytes(50), 9000)
    assert [pid for pid, _, _ in pcrs(out)] == [0x101]
    _, (unit,) = split(out)
    assert (unit.stream, unit.stream_id) == (AUDIO, 0xC0)


def test_other_streams_make_a_new_version_of_the_tables() -> None:
    muxer = Muxer([VIDEO])
    demuxer = Demuxer()
    demuxer.feed(muxer.tables(), 0.0)
    first = demuxer.streams
    muxer.set_streams([VIDEO])
    again = muxer.tables()
    demuxer.feed(again, 0.0)
    assert demuxer.streams is first
    muxer.set_streams([VIDEO, AUDIO])
    changed = muxer.tables()
    demuxer.feed(changed, 0.0)
    assert demuxer.streams == {0x100: VIDEO, 0x101: AUDIO}
    assert changed[188 + 5 + 5] >> 1 & 31 == (again[188 + 5 + 5] >> 1 & 31) + 1
    assert demuxer.counters.psi_errors == 0


def test_a_stream_on_the_tables_pid_moves_the_table() -> None:
    there = ElementaryStream(0x1000, 0x0F, "audio", "aac")
    demuxer, _ = split(Muxer([VIDEO, there]).tables())
    assert demuxer.streams == {0x100: VIDEO, 0x1000: there}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="its own pid"):
        Muxer([VIDEO, VIDEO])
    with pytest.raises(ValueError, match="at least one"):
        Muxer([])
    with pytest.raises(ValueError, match="0x0010 to 0x1ffe"):
        Muxer([ElementaryStream(0x1FFF, 0x1B, "video", "h264")])
    with pytest.raises(ValueError, match="pcr_pid"):
        Muxer([VIDEO], pcr_pid=0x101)
    muxer = Muxer([VIDEO, AUDIO])
    with pytest.raises(ValueError, match="audio"):
        muxer.write(0x101, bytes(70_000), 0)
    with pytest.raises(KeyError):
        muxer.write(0x102, b"x", 0)
