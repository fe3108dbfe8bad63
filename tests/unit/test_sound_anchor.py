"""Where the samples of an encoder belong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfytrickle.mpegts.units import CLOCK
from workers.sound.anchor import JITTER, LONGEST_FILLED, Anchor, Placing

RATE = 48_000
SECOND = RATE
START = 7 * CLOCK


def place(anchor: Anchor, pts: int, samples: int, rate: int) -> Placing:
    placing = anchor.plan(pts, samples, rate)
    anchor.take(placing, pts, samples, rate)
    return placing


def begun() -> Anchor:
    """One second of sound from START."""
    anchor = Anchor(RATE)
    assert place(anchor, START, SECOND, RATE) == Placing(fresh=True)
    return anchor


def test_the_first_sound_is_the_anchor() -> None:
    anchor = begun()
    assert anchor.count == SECOND
    assert [anchor.pts(index) for index in (-480, 0, 480)] == [START - 900, START, START + 900]


def test_a_hole_is_filled() -> None:
    anchor = begun()
    assert place(anchor, START + 3 * CLOCK, SECOND, RATE) == Placing(silence=2 * SECOND)
    assert anchor.pts(3 * SECOND) == START + 3 * CLOCK


def test_a_hole_is_filled_in_samples_of_the_sound() -> None:
    anchor = begun()
    assert place(anchor, START + 2 * CLOCK, 44_100, 44_100) == Placing(silence=44_100)
    assert anchor.count == 3 * SECOND


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_longest_hole_that_is_filled(beyond: int) -> None:
    placing = place(begun(), START + CLOCK + LONGEST_FILLED + beyond, SECOND, RATE)
    assert placing == (Placing(fresh=True) if beyond else Placing(silence=10 * SECOND))


def test_a_longer_hole_begins_anew() -> None:
    anchor = begun()
    later = START + 60 * CLOCK
    assert place(anchor, later, SECOND, RATE).fresh
    assert (anchor.count, anchor.pts(0)) == (SECOND, later)


def test_an_overlap_is_cut() -> None:
    anchor = begun()
    assert place(anchor, START + CLOCK // 2, SECOND, RATE) == Placing(cut=SECOND // 2)
    assert place(anchor, START + CLOCK * 3 // 2, SECOND, RATE) == Placing()
    assert anchor.pts(2 * SECOND) == START + 2 * CLOCK


def test_what_is_all_in_the_past_is_cut_all_and_leaves_no_trace() -> None:
    anchor = begun()
    for back in (3, 2):  # contiguous with each other, and yet no drift
        placing = place(anchor, START + (1 - back) * CLOCK, SECOND, RATE)
        assert placing == Placing(cut=SECOND)
    assert place(anchor, START + CLOCK, SECOND, RATE) == Placing()
    assert anchor.pts(SECOND) == START + CLOCK


def test_jitter_changes_nothing() -> None:
    anchor = begun()
    pts = START + CLOCK
    for step in range(100):
        noisy = pts + (JITTER - 1) * (-1) ** step
        assert place(anchor, noisy, RATE // 50, RATE) == Placing()
        pts += CLOCK // 50
    assert anchor.pts(3 * SECOND) == START + 3 * CLOCK


@pytest.mark.parametrize("drift", [-20, 20])
def test_drift_moves_the_timestamps_and_no_sample(drift: int) -> None:
    anchor = begun()
    pts = START + CLOCK
    index = SECOND
    moved = 0
    for _ in range(200):
        moved += place(anchor, pts, RATE // 50, RATE) == Placing(drifted=True)
        assert abs(anchor.pts(index) - pts) <= JITTER
        index += RATE // 50
        pts += CLOCK // 50 + drift
    assert moved == 200 * 20 // (JITTER + 20)
    assert index == anchor.count == 5 * SECOND
    assert abs(pts - START - 5 * CLOCK) > 5 * JITTER


def test_no_rounding_adds_up() -> None:
    anchor = Anchor(RATE)
    for number in range(10_000):
        pts = START + number * 1024 * CLOCK // 44_100
        assert place(anchor, pts, 1024, 44_100) in (Placing(), Placing(fresh=True))
    assert anchor.count == round(10_000 * 1024 * RATE / 44_100)
    assert anchor.pts(RATE * 200) == START + 200 * CLOCK


def test_after_a_restart_the_next_sound_is_the_anchor() -> None:
    anchor = begun()
    anchor.restart()
    assert anchor.count == 0
    assert place(anchor, START + CLOCK, 10, RATE) == Placing(fresh=True)
    assert anchor.pts(0) == START + CLOCK


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(-3 * CLOCK, 12 * CLOCK),
            st.integers(1, 20_000),
            st.sampled_from([8_000, 44_100, 48_000]),
        ),
        max_size=30,
    )
)
def test_every_sample_kept_is_near_its_own_time(steps: list[tuple[int, int, int]]) -> None:
    anchor = Anchor(RATE)
    pts = START
    for step, samples, rate in steps:
        pts += step
        before = anchor.count
        placing = place(anchor, pts, samples, rate)
        assert 0 <= placing.cut <= samples
        assert not (placing.cut and placing.silence)
        if placing.cut < samples:
            index = 0 if placing.fresh else before + round(placing.silence * RATE / rate)
            expected = pts + placing.cut * CLOCK / rate
            # One on, since counts are whole and a sound may begin between two.
            assert abs(anchor.pts(index + 1) - expected) <= JITTER + CLOCK / rate + 4
        pts += samples * CLOCK // rate
