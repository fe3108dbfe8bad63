"""Which worker is hung and which one only waits."""

from __future__ import annotations

from comfytrickle.messages import Counters, Status
from comfytrickle.states import State
from control_plane.streams.watchdog import Deadlines, Watchdog

DEADLINES = Deadlines(silent=5.0, first_frame=30.0, stuck=10.0)


def status(
    seq: int, busy_s: float | None = None, frames_out: int = 100, state: State = State.STREAMING
) -> Status:
    return Status(
        seq=seq,
        state=state,
        counters=Counters(frames_out=frames_out),
        busy_s=busy_s,
        busy_stage=None if busy_s is None else "engine",
    )


def test_silence_of_the_worker() -> None:
    dog = Watchdog(DEADLINES, 0.0)
    dog.heard(status(1), 2.0)
    assert dog.verdict(6.9) is None
    assert dog.verdict(7.1) == "no status for 5.1 s"


def test_a_worker_that_never_said_anything() -> None:
    dog = Watchdog(DEADLINES, 10.0)
    assert dog.verdict(39.9) is None
    assert dog.verdict(40.1) == "no status for 30.1 s"


def test_what_loads_may_hold_the_lock_for_longer() -> None:
    """Imports and compilers do: at the first frame, and when another workflow is loaded."""
    dog = Watchdog(DEADLINES, 0.0)
    dog.heard(status(1, busy_s=0.1, frames_out=0), 2.0)
    assert dog.verdict(31.8) is None
    assert dog.verdict(32.1) == "no status for 30.1 s"
    dog.heard(status(2), 40.0)
    assert dog.verdict(69.9, loading=True) is None
    assert dog.verdict(70.1, loading=True) == "no status for 30.1 s"
    assert dog.verdict(45.1) == "no status for 5.1 s"


def test_silence_while_nobody_listened_does_not_count() -> None:
    dog = Watchdog(DEADLINES, 0.0)
    dog.heard(status(1, busy_s=8.0), 2.0)
    dog.excuse(60.0)
    assert dog.verdict(63.0) is None
    assert dog.verdict(64.1) == "the engine thread has been at one frame for 10.1 s"
    dog.heard(status(2), 64.5)
    assert dog.verdict(69.6) == "no status for 5.1 s"


def test_a_repeated_status_is_not_a_sign_of_life() -> None:
    dog = Watchdog(DEADLINES, 0.0)
    for now in (1.0, 3.0, 5.0):
        dog.heard(status(1), now)
    assert dog.verdict(6.5) is not None


def test_a_source_that_pauses_is_not_the_workers_fault() -> None:
    dog = Watchdog(DEADLINES, 0.0)
    for n in range(7200):
        dog.heard(status(n), n / 2)
        assert dog.verdict(n / 2) is None


def test_a_thread_that_stays_at_one_frame() -> None:
    dog = Watchdog(DEADLINES, 0.0)
    dog.heard(status(1, busy_s=9.9), 1.0)
    assert dog.verdict(1.0) is None
    assert dog.verdict(1.2) == "the engine thread has been at one frame for 10.1 s"
    dog.heard(status(2, busy_s=0.1), 1.5)  # it came through after all
    assert dog.verdict(1.5) is None


def test_the_first_frame_may_take_longer() -> None:
    dog = Watchdog(DEADLINES, 0.0)
    dog.heard(status(1, busy_s=29.0, frames_out=0), 1.0)
    assert dog.verdict(1.0) is None
    assert dog.verdict(3.0) is not None


def test_a_draining_worker_has_its_own_deadline() -> None:
    dog = Watchdog(DEADLINES, 0.0)
    dog.heard(status(1, busy_s=100.0, state=State.DRAINING), 1.0)
    assert dog.verdict(1.0) is None
