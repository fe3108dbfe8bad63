"""The demo's account of frames."""

from __future__ import annotations

from comfytrickle.demo.ledger import Ledger
from comfytrickle.testsrc.counter import PERIOD

TICKS = 3000


def filled(frames: int) -> Ledger:
    ledger = Ledger()
    for n in range(frames):
        ledger.sent(n, n / 30, n * TICKS)
    return ledger


def receive(ledger: Ledger, *numbers: int | None) -> None:
    for n in numbers:
        shown = n if n is not None else 0
        ledger.received(n, shown / 30 + 0.010, 5 * TICKS + shown * TICKS)


def test_all_there() -> None:
    ledger = filled(100)
    receive(ledger, *range(100))
    ledger.close()
    assert ledger.faults() == []
    assert (ledger.frames_in, ledger.frames_out, ledger.lost) == (100, 100, 0)
    assert abs(sum(ledger.latencies) / 100 - 0.010) < 1e-6
    assert abs((ledger.rate() or 0) - 30) < 1e-6
    assert abs((ledger.first_out_s or 0) - 0.010) < 1e-6


def test_nothing_there() -> None:
    ledger = filled(3)
    ledger.close()
    assert ledger.faults() == ["no frame came out", "3 frames lost"]


def test_a_gap_counts_while_running_and_at_the_end() -> None:
    ledger = filled(10)
    receive(ledger, 0, 1, 4, 5)
    assert ledger.lost == 2
    ledger.close()
    assert ledger.lost == 6
    assert ledger.faults() == ["6 frames lost"]


def test_frames_missing_at_the_start_are_lost() -> None:
    ledger = filled(5)
    receive(ledger, 3, 4)
    assert ledger.lost == 3


def test_late_and_double_frames() -> None:
    ledger = filled(6)
    receive(ledger, 0, 2, 1, 3, 3, 4, 5)
    ledger.close()
    assert (ledger.lost, ledger.out_of_order, ledger.duplicated) == (0, 1, 1)
    assert ledger.faults() == ["1 frame duplicated", "1 frame out of order"]


def test_unreadable_and_never_sent() -> None:
    ledger = filled(3)
    receive(ledger, 0, None, 2)
    assert ledger.received(77, 0.2, 0) is None
    ledger.close()
    assert (ledger.unreadable, ledger.lost, ledger.frames_out) == (2, 1, 4)


def test_without_a_counter_a_frame_is_known_by_its_timestamp() -> None:
    ledger = filled(6)
    ledger.needs_counter = False
    for n in (0, 1, 3, 4):
        assert ledger.received(None, n / 30 + 0.010, n * TICKS) == n
    assert ledger.received(None, 0.2, 1234) is None
    assert ledger.received(2000, 5 / 30 + 0.010, 5 * TICKS) == 5  # never sent: misread
    assert (ledger.unreadable, ledger.unknown, ledger.lost) == (6, 1, 1)
    assert ledger.faults() == [
        "1 frame lost",
        "1 frame with an unreadable counter and an unknown timestamp",
    ]
    assert abs(ledger.latencies[0] - 0.010) < 1e-6


def test_timestamps_must_keep_their_distance_also_over_the_wrap() -> None:
    ledger = Ledger()
    for n in range(4):
        ledger.sent(n, 0.0, (1 << 33) - TICKS + n * TICKS)
    for n, pts in enumerate([(1 << 33) - TICKS + 500, 500, TICKS + 540, 2 * TICKS + 900]):
        ledger.received(n, 0.1, pts)
    assert ledger.wrong_pts == 1


def test_wrong_pictures_are_a_fault() -> None:
    ledger = filled(1)
    receive(ledger, 0)
    ledger.picture(True)
    ledger.picture(False)
    assert ledger.faults() == ["1 frame with a wrong picture"]


def test_the_counter_may_wrap() -> None:
    ledger = Ledger()
    ledger.frames_in = PERIOD - 2  # as after six days
    ledger._newest = PERIOD - 3
    for n in range(PERIOD - 2, PERIOD + 3):
        ledger.sent(n, 0.0, 0)
    for n in range(PERIOD - 2, PERIOD + 3):
        assert ledger.received(n % PERIOD, 0.1, 0) == n
    assert (ledger.lost, ledger.duplicated, ledger.out_of_order) == (0, 0, 0)
