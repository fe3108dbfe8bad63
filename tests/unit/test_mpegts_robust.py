"""Damage: said where it is, never raised, and never wider than it is."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.pes import MAX_VIDEO_PES
from comfytrickle.mpegts.units import AccessUnit, ElementaryStream
from tests.support.tsstreams import chunked, encode, pes_header, ts_packet

VIDEO = ElementaryStream(0x100, 0x1B, "video", "h264")
AUDIO = ElementaryStream(0x101, 0x0F, "audio", "aac")
Key = tuple[int, bytes, int | None, int | None]


def key(unit: AccessUnit) -> Key:
    return unit.stream.pid, unit.data, unit.pts, unit.dts


def read(*chunks: bytes) -> tuple[list[AccessUnit], Demuxer]:
    demuxer = Demuxer()
    units = []
    for index, chunk in enumerate(chunks):
        units += demuxer.feed(chunk, float(index))
    units += demuxer.flush(1e9)
    return units, demuxer


@pytest.fixture(scope="module")
def clip() -> bytes:
    """30 frames with audio, written by libavformat."""
    return encode(frames=30, audio=True, noise=40)


def unit_packets(data: bytes) -> list[tuple[int, list[int]]]:
    """(pid, packet numbers) of every PES packet."""
    out: list[tuple[int, list[int]]] = []
    current: dict[int, list[int]] = {}
    for number in range(len(data) // 188):
        packet = data[number * 188 : number * 188 + 4]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        if pid not in (0x100, 0x101) or not packet[3] & 0x10:
            continue
        if packet[1] & 0x40:
            current[pid] = []
            out.append((pid, current[pid]))
        current[pid].append(number)
    return out


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), largest=st.sampled_from([5, 100, 188, 400, 1316, 9000]))
def test_any_chunking_gives_the_same_units(clip: bytes, seed: int, largest: int) -> None:
    whole, _ = read(clip)
    pieces, demuxer = read(*chunked(clip, seed, largest))
    assert [key(u) for u in pieces] == [key(u) for u in whole]
    assert len(whole) == len(unit_packets(clip))
    assert demuxer.counters.sync_losses == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), damage=st.integers(1, 12), largest=st.integers(1, 2000))
def test_any_chunking_of_damaged_bytes_too(
    clip: bytes, seed: int, damage: int, largest: int
) -> None:
    rng = random.Random(seed)
    data = bytearray(clip)
    for _ in range(damage):
        at = rng.randrange(len(data))
        match rng.randrange(3):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randrange(1, 1000)]
            case _:
                data[at:at] = rng.randbytes(rng.randrange(1, 600))
    whole, one = read(bytes(data))
    pieces, many = read(*chunked(bytes(data), seed, largest))
    assert [(key(u), u.damaged) for u in pieces] == [(key(u), u.damaged) for u in whole]
    assert one.counters == many.counters


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_units_that_damage_does_not_touch_come_out_equal(clip: bytes, data: st.DataObject) -> None:
    """Bytes are changed anywhere but in a pid: what says whose a packet is."""
    count = len(clip) // 188
    hits = data.draw(
        st.lists(
            st.tuples(
                st.integers(3, count - 1),  # the first tables are needed to read anything
                st.sampled_from([0, 3, *range(4, 24), 60, 187]),
                st.integers(1, 255),
            ),
            min_size=1,
            max_size=6,
        )
    )
    spoilt = bytearray(clip)
    for number, offset, change in hits:
        spoilt[number * 188 + offset] ^= change
    touched = {number for number, _, _ in hits}
    units, _ = read(bytes(spoilt))
    came_out = [key(u) for u in units]
    whole, _ = read(clip)
    # the n-th unit of a pid is its n-th PES packet
    originals = {pid: iter([key(u) for u in whole if u.stream.pid == pid]) for pid in (256, 257)}
    for pid, numbers in unit_packets(clip):
        original = next(originals[pid])
        if not touched & set(numbers):
            assert original in came_out


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.data_too_large])
@given(st.lists(st.binary(max_size=700), max_size=12), st.booleans())
def test_garbage_raises_nothing(chunks: list[bytes], with_tables: bool) -> None:
    demuxer = Demuxer()
    if with_tables:
        demuxer.feed(Muxer([VIDEO, AUDIO]).tables(), 0.0)
    for index, chunk in enumerate(chunks):
        for unit in demuxer.feed(chunk, float(index)):
            assert unit.data
        demuxer.segment_end(float(index))
        demuxer.silence(float(index) + 0.5)
    demuxer.flush(100.0)
    assert not demuxer.awaiting


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(min_size=184, max_size=184), max_size=30), st.randoms())
def test_packets_of_garbage_raise_nothing(bodies: list[bytes], rng: random.Random) -> None:
    demuxer = Demuxer()
    demuxer.feed(Muxer([VIDEO, AUDIO]).tables(), 0.0)
    for index, body in enumerate(bodies):
        pid = rng.choice([0, 0x1000, 0x100, 0x101])
        head = bytes([0x47, rng.choice([0, 0x40]) | pid >> 8, pid & 255, rng.randrange(256)])
        demuxer.feed(head + body, float(index))
    demuxer.flush(100.0)
    assert demuxer.counters.packets >= len(bodies)


def frames(count: int, size: int = 1000) -> tuple[Muxer, list[bytes]]:
    """Frames without keyframes behind one with: 6 packets each."""
    muxer = Muxer([VIDEO, AUDIO])
    out = [muxer.tables()]
    for index in range(count):
        nal = b"\x00\x00\x01" + (b"\x65" if index == 0 else b"\x41")
        out.append(muxer.write(0x100, nal + bytes([index + 1]) * size, index * 3000))
    return muxer, out


def test_a_missing_packet_damages_its_unit() -> None:
    _, out = frames(4)
    out[2] = out[2][:188] + out[2][376:]
    units, demuxer = read(*out)
    assert [u.damaged for u in units] == [False, True, False, False]
    assert demuxer.counters.continuity_errors == 1
    assert demuxer.counters.damaged_units == 1


def test_a_missing_unit_damages_the_next() -> None:
    _, out = frames(4)
    del out[2]
    units, _ = read(*out)
    assert [(u.pts, u.damaged) for u in units] == [(0, False), (6000, True), (9000, False)]


def test_duplicates_are_no_error_and_no_data() -> None:
    _, out = frames(3)
    doubled = [b"".join(c[i : i + 188] * 2 for i in range(0, len(c), 188)) for c in out]
    units, demuxer = read(*doubled)
    plain, _ = read(*out)
    assert [key(u) for u in units] == [key(u) for u in plain]
    assert demuxer.counters.continuity_errors == 0
    assert demuxer.counters.wrong_cuts == 0


def test_a_discontinuity_indicator_allows_a_jump_of_the_counter() -> None:
    _, out = frames(1)
    body = b"\x41" * 184
    head = pes_header()
    packet = ts_packet(0x100, head + body[: 182 - len(head)], 13, start=True, field=b"\x80")
    more = ts_packet(0x100, body, 14)
    units, demuxer = read(*out, packet + more)
    assert demuxer.counters.continuity_errors == 0
    assert [u.damaged for u in units] == [False, False]


def test_transport_error_damages_and_is_counted() -> None:
    _, out = frames(3)
    broken = bytearray(out[2])
    broken[188 + 1] |= 0x80
    out[2] = bytes(broken)
    units, demuxer = read(*out)
    assert [u.damaged for u in units] == [False, True, False]
    assert demuxer.counters.transport_errors == 1
    assert demuxer.counters.continuity_errors == 0


def test_scrambled_packets_are_ignored() -> None:
    _, out = frames(2)
    scrambled = bytearray(out[2])
    for at in range(3, len(scrambled), 188):
        scrambled[at] |= 0x80
    units, demuxer = read(*out[:2], bytes(scrambled))
    assert len(units) == 1
    assert demuxer.counters.scrambled == len(scrambled) // 188


@pytest.mark.parametrize("cut", [1, 100, 187, 188 * 2 + 50])
def test_sync_is_found_again_after_bytes_are_missing(cut: int) -> None:
    _, out = frames(8)
    data = b"".join(out)
    at = len(out[0]) + len(out[1]) + 300  # inside the second frame
    units, demuxer = read(data[:at] + data[at + cut :])
    assert demuxer.counters.sync_losses == (0 if cut % 188 == 0 else 1)
    good = {(u.pts, u.damaged) for u in units}
    assert good >= {(0, False), *((i * 3000, False) for i in range(3, 8))}
    assert all(u.damaged for u in units if u.pts == 3000)


def test_bytes_in_front_and_between_are_skipped() -> None:
    _, out = frames(4)
    units, demuxer = read(b"HTTP" * 30 + out[0], out[1], b"junk", *out[2:])
    assert demuxer.counters.sync_losses == 2
    assert [u.pts for u in units] == [0, 3000, 6000, 9000]
    assert [u.data for u in units] == [u.data for u in read(*out)[0]]


def test_a_segment_cut_inside_a_packet_does_not_spoil_the_next() -> None:
    muxer, out = frames(3)
    demuxer = Demuxer()
    units = demuxer.feed(b"".join(out)[:-60], 1.0)  # its publisher died
    assert demuxer.segment_end(1.0) == []
    key_frame = muxer.write(0x100, b"\x00\x00\x01\x65" + bytes(500), 90_000)
    units += demuxer.feed(muxer.tables() + key_frame, 2.0)
    assert [(u.pts, u.damaged) for u in units] == [
        (0, False), (3000, False), (6000, True), (90_000, False),
    ]  # fmt: skip
    assert demuxer.counters.sync_losses == 1
    assert demuxer.counters.psi_errors == 0


def test_segments_that_cut_packets_anywhere_lose_nothing() -> None:
    _, out = frames(20)
    data = b"".join(out)
    demuxer = Demuxer()
    units = []
    for at in range(0, len(data), 1111):
        units += demuxer.feed(data[at : at + 1111], 1.0)
        units += demuxer.segment_end(1.0)
    units += demuxer.flush(2.0)
    assert [u.pts for u in units] == [i * 3000 for i in range(20)]
    assert not any(u.damaged for u in units)
    assert demuxer.counters.sync_losses == demuxer.counters.wrong_cuts == 0


def test_discontinuity_drops_what_is_pending_and_forgets_the_counters() -> None:
    muxer, out = frames(3)
    demuxer = Demuxer()
    units = demuxer.feed(b"".join(out)[: -188 - 40], 1.0)
    demuxer.discontinuity()
    muxer.write(0x100, b"lost" * 300, 0)
    units += demuxer.feed(muxer.write(0x100, b"\x00\x00\x01\x41" + bytes(500), 90_000), 2.0)
    units += demuxer.feed(muxer.write(0x100, b"\x00\x00\x01\x41" + bytes(500), 93_000), 2.0)
    assert [(u.pts, u.damaged) for u in units] == [
        (0, False), (3000, False), (90_000, True), (93_000, False),
    ]  # fmt: skip
    assert demuxer.counters.dropped_units == 1
    assert demuxer.counters.continuity_errors == demuxer.counters.sync_losses == 0


def test_a_pes_packet_without_end_is_bounded() -> None:
    _, out = frames(1)
    demuxer = Demuxer()
    demuxer.feed(out[0], 0.0)
    head = pes_header()
    demuxer.feed(ts_packet(0x100, head + b"x" * (184 - len(head)), 0, start=True), 0.0)
    sixteen = b"".join(ts_packet(0x100, b"x" * 184, cc) for cc in [*range(1, 16), 0])
    chunk = sixteen * 400
    for _ in range(MAX_VIDEO_PES // (184 * 16 * 400) + 1):
        assert demuxer.feed(chunk, 1.0) == []
    assert demuxer.counters.dropped_units == 1
    assert demuxer.flush(2.0) == []


def test_a_source_cut_off_in_a_frame_says_so() -> None:
    _, out = frames(2)
    units, _ = read(b"".join(out)[:-188])
    assert [u.damaged for u in units] == [False, True]
