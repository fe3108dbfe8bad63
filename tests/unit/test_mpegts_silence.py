"""Silence ends a frame only where the source has earned it."""

from __future__ import annotations

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.silence import (
    NEEDED,
    SILENCE_S,
    STALL_MEMORY,
    STALL_S,
    WINDOW,
    SilencePolicy,
)
from comfytrickle.mpegts.units import ElementaryStream
from tests.support.tsstreams import pes_header, ts_packet

VIDEO = ElementaryStream(0x100, 0x1B, "video", "h264")


def test_trust_needs_nearly_all_of_the_last_units() -> None:
    policy = SilencePolicy()
    for _ in range(NEEDED):
        assert not policy.trusted
        policy.unit_ended(True)
    assert policy.trusted
    for _ in range(WINDOW - NEEDED):
        policy.unit_ended(False)
    assert policy.trusted
    policy.unit_ended(False)
    assert not policy.trusted


def test_a_stall_inside_a_unit_is_remembered() -> None:
    policy = SilencePolicy()
    for _ in range(WINDOW):
        policy.unit_ended(True)
    policy.paused(STALL_S)
    assert policy.trusted
    policy.paused(STALL_S * 1.01)
    for _ in range(STALL_MEMORY):
        assert not policy.trusted
        policy.unit_ended(True)
    assert policy.trusted


def test_how_long_is_long_enough() -> None:
    assert policy_long(SILENCE_S)
    assert policy_long(SILENCE_S - 0.0001)  # a timer that fires early
    assert not policy_long(SILENCE_S / 2)


def policy_long(seconds: float) -> bool:
    return SilencePolicy.long_enough(seconds)


class Source:
    """Frames of two packets, full to the brim (nothing marks their end), one read each."""

    def __init__(self) -> None:
        self.demuxer = Demuxer()
        self.demuxer.feed(Muxer([VIDEO]).tables(), 0.0)
        self.now = 0.0
        self.cc = 0

    def packets(self) -> tuple[bytes, bytes]:
        head = pes_header()
        first = ts_packet(0x100, head + b"A" * (184 - len(head)), self.cc, start=True)
        second = ts_packet(0x100, b"b" * 184, self.cc + 1)
        self.cc += 2
        return first, second

    def frame(self, pause: float = 0.0005, together: bool = False) -> int:
        """One frame, 33 ms after the one before; how many units came out by silence."""
        first, second = self.packets()
        self.now += 0.033
        if together:
            self.demuxer.feed(first + second, self.now)
        else:
            self.demuxer.feed(first, self.now)
            self.now += pause
            self.demuxer.feed(second, self.now)
        return len(self.demuxer.silence(self.now + SILENCE_S))


def test_a_steady_source_is_given_out_by_silence_once_it_is_known() -> None:
    source = Source()
    assert [source.frame() for _ in range(NEEDED)] == [0] * NEEDED
    assert not source.demuxer.awaiting
    assert [source.frame() for _ in range(20)] == [1] * 20
    assert not source.demuxer.awaiting  # nothing is pending any more
    first, _ = source.packets()
    source.demuxer.feed(first, source.now + 0.03)
    assert source.demuxer.awaiting
    assert source.demuxer.silence(source.now + 0.03 + SILENCE_S / 2) == []
    assert source.demuxer.counters.wrong_cuts == 0


def test_never_inside_a_packet() -> None:
    source = Source()
    for _ in range(WINDOW):
        source.frame()
    first, second = source.packets()
    source.demuxer.feed(first + second[:100], source.now + 0.033)
    assert not source.demuxer.awaiting
    assert source.demuxer.silence(source.now + 1) == []


def test_a_network_that_stalls_inside_frames_cuts_none() -> None:
    source = Source()
    for index in range(400):
        assert source.frame(pause=0.02 if index % 40 == 7 else 0.0003) == 0
    assert source.demuxer.counters.wrong_cuts == 0


def test_a_source_that_writes_blocks_is_not_cut() -> None:
    """Reads end anywhere on packet boundaries, not where frames end."""
    source = Source()
    held = b""
    for _ in range(300):
        held += b"".join(source.packets())
    for at in range(0, len(held), 188 * 5):
        source.now += 0.08
        source.demuxer.feed(held[at : at + 188 * 5], source.now)
        assert source.demuxer.silence(source.now + SILENCE_S) == []
    assert source.demuxer.counters.wrong_cuts == 0


def test_a_stall_that_cuts_a_frame_is_counted_and_ends_the_trust() -> None:
    source = Source()
    for _ in range(WINDOW):
        source.frame()
    first, second = source.packets()
    source.now += 0.033
    source.demuxer.feed(first, source.now)
    assert len(source.demuxer.silence(source.now + SILENCE_S)) == 1  # half a frame
    assert source.demuxer.feed(second, source.now + 0.05) == []
    assert source.demuxer.counters.wrong_cuts == 1
    source.now += 0.06
    assert [source.frame() for _ in range(WINDOW)] == [0] * WINDOW
    for _ in range(2 * STALL_MEMORY):
        source.frame()
    assert source.frame() == 1
    assert source.demuxer.counters.wrong_cuts == 1


def test_the_unit_after_a_wrong_cut_is_marked() -> None:
    source = Source()
    for _ in range(WINDOW):
        source.frame()
    first, second = source.packets()
    source.now += 0.033
    source.demuxer.feed(first, source.now)
    source.demuxer.silence(source.now + SILENCE_S)
    units = source.demuxer.feed(second + b"".join(source.packets() + source.packets()), 99.0)
    assert [u.damaged for u in units] == [True]
    assert [u.damaged for u in source.demuxer.flush(100.0)] == [False]
