"""When a worker is replaced: budget, forgiveness, pauses."""

from __future__ import annotations

import pytest

from comfytrickle.states import ExitCause
from control_plane.streams.policy import Next, RestartLimits, RestartPolicy

LIMITS = RestartLimits(budget=3, forgive_s=10.0, first_pause_s=0.5, longest_pause_s=0.8)


def test_the_first_death_is_answered_at_once_and_the_next_ones_later() -> None:
    policy = RestartPolicy(LIMITS)
    decisions = [policy.ended(ExitCause.SIGNALLED, None, now=t) for t in (100.0, 100.0, 100.0)]
    assert [d.next for d in decisions] == [Next.RESTART] * 3
    assert [d.pause_s for d in decisions] == [0.0, 0.5, 0.8]
    assert policy.ended(ExitCause.SIGNALLED, None, now=100.0).next is Next.CRASH_LOOP


def test_a_second_death_soon_after_the_first_is_in_a_row() -> None:
    policy = RestartPolicy(LIMITS)
    policy.ended(ExitCause.SIGNALLED, None, now=100.0)
    assert policy.ended(ExitCause.SIGNALLED, None, now=100.5).pause_s == 0.5
    assert policy.ended(ExitCause.SIGNALLED, None, now=200.0).pause_s == 0.0


def test_the_budget_fills_up_again_with_time() -> None:
    policy = RestartPolicy(LIMITS)
    for _ in range(3):
        policy.ended(ExitCause.NONZERO, None, now=0.0)
    assert policy.spent(now=5.0) == 2.5
    assert policy.ended(ExitCause.NONZERO, None, now=10.0).next is Next.RESTART  # one forgiven
    assert policy.ended(ExitCause.NONZERO, None, now=10.0).next is Next.CRASH_LOOP
    calm = policy.ended(ExitCause.NONZERO, None, now=1000.0)
    assert (calm.next, calm.pause_s) == (Next.RESTART, 0.0)


def test_a_death_now_and_then_never_uses_the_budget_up() -> None:
    policy = RestartPolicy(LIMITS)
    for n in range(50):
        assert policy.ended(ExitCause.UNRESPONSIVE, None, now=n * 11.0).next is Next.RESTART


@pytest.mark.parametrize("cause", [ExitCause.CLEAN, ExitCause.REQUESTED, ExitCause.SOURCE_ENDED])
def test_good_ends_end_the_stream(cause: ExitCause) -> None:
    assert RestartPolicy(LIMITS).ended(cause, None, now=0.0).next is Next.END


@pytest.mark.parametrize("kind", ["source", "sink", "workflow", "startup"])
def test_what_a_new_worker_would_meet_again_is_final(kind: str) -> None:
    policy = RestartPolicy(LIMITS)
    assert policy.ended(ExitCause.NONZERO, kind, now=0.0).next is Next.FAIL
    assert policy.spent(now=0.0) == 0


def test_a_worker_that_wants_no_successor_gets_none() -> None:
    policy = RestartPolicy(LIMITS)
    assert policy.ended(ExitCause.NONZERO, "node", now=0.0, final=True).next is Next.FAIL
    assert policy.spent(now=0.0) == 0
    assert policy.ended(ExitCause.NONZERO, "node", now=0.0).next is Next.RESTART


@pytest.mark.parametrize(
    "cause",
    [
        ExitCause.SIGNALLED,
        ExitCause.NONZERO,
        ExitCause.UNRESPONSIVE,
        ExitCause.STARTUP_TIMEOUT,
        ExitCause.STARTUP_ERROR,
        ExitCause.KILLED_BY_US,
    ],
)
def test_bad_ends_are_answered_with_a_new_worker(cause: ExitCause) -> None:
    assert RestartPolicy(LIMITS).ended(cause, "internal", now=0.0).next is Next.RESTART
