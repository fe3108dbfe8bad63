"""Where a track that is passed on as it came needs silence."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfytrickle.mpegts.units import CLOCK
from workers.sound.gaps import LONGEST_FILLED, Continuity

STEP = Fraction(1024 * CLOCK, 44_100)  # no whole number of ticks
START = 12_345


def after(units: float) -> int:
    return START + round(units * STEP)


def begun() -> Continuity:
    """One unit of STEP from START."""
    continuity = Continuity()
    assert continuity.unit(START, STEP) == []
    return continuity


@pytest.mark.parametrize(("begins", "silent"), [(1, 0), (1.4, 0), (1.6, 1), (3, 2), (6.4, 5)])
def test_a_hole_is_filled_on_the_grid(begins: float, silent: int) -> None:
    assert begun().unit(after(begins), STEP) == [after(1 + number) for number in range(silent)]


def test_nothing_adds_up_over_a_long_hole() -> None:
    times = begun().unit(after(400), STEP)
    assert len(times) == 399
    assert times[-1] == after(399)


def test_nothing_adds_up_over_a_long_time() -> None:
    continuity = begun()
    for number in range(1, 50_000):
        assert continuity.unit(START + int(number * STEP), STEP) == []


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_longer_hole_is_left(beyond: int) -> None:
    continuity = Continuity()
    continuity.unit(START, CLOCK // 50)
    times = continuity.unit(START + CLOCK // 50 + LONGEST_FILLED + beyond, CLOCK // 50)
    assert len(times) == (0 if beyond else 500)
    assert not continuity.late(START + CLOCK // 50 + LONGEST_FILLED + CLOCK // 50)


def test_before_the_first_unit_nothing_is_known() -> None:
    continuity = Continuity()
    assert continuity.until(START) == []
    assert not continuity.late(0)


def test_a_unit_of_several_frames_is_filled_by_single_ones() -> None:
    continuity = Continuity()
    continuity.unit(START, 3 * STEP, STEP)
    assert continuity.unit(after(5), 3 * STEP, STEP) == [after(3), after(4)]
    assert continuity.unit(after(8), 3 * STEP, STEP) == []


def test_late_is_more_than_half_a_unit() -> None:
    continuity = begun()
    assert continuity.late(after(0.4))
    assert not continuity.late(after(0.6))
    assert not continuity.late(after(1))


def test_the_sound_lags_behind() -> None:
    continuity = begun()
    assert continuity.until(after(1.9)) == []
    assert continuity.until(after(2) + 1) == [after(1)]
    assert continuity.until(after(2) + 1) == []
    assert continuity.until(after(4.5)) == [after(2), after(3)]
    assert continuity.late(after(3)) and not continuity.late(after(4))
    assert continuity.unit(after(4), STEP) == []


def test_much_silence_is_given_in_portions() -> None:
    continuity = begun()
    target = after(400.5)
    portions = []
    while portion := continuity.until(target):
        portions.append(portion)
    assert max(map(len, portions)) < 100
    assert [pts for portion in portions for pts in portion] == [after(n) for n in range(1, 400)]


def test_a_video_far_ahead_is_not_run_after() -> None:
    continuity = begun()
    assert continuity.until(after(5000.5)) == []
    assert continuity.until(after(5001.5)) == [after(5000)]


def test_a_unit_without_duration_is_no_measure() -> None:
    continuity = Continuity()
    continuity.unit(START, 0)
    assert continuity.until(START + CLOCK) == []
    assert continuity.unit(START + CLOCK, STEP) == []


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.booleans(),
            st.integers(-CLOCK, 2 * CLOCK),
            st.sampled_from([STEP, Fraction(CLOCK, 50), Fraction(1152 * CLOCK, 48_000)]),
        ),
        max_size=40,
    )
)
def test_what_goes_out_neither_overlaps_nor_leaves_a_hole(
    steps: list[tuple[bool, int, Fraction]],
) -> None:
    continuity = Continuity()
    out: list[tuple[int, Fraction]] = []
    now = START
    step = Fraction(0)
    for is_video, move, duration in steps:
        now = max(0, now + move)
        if is_video:
            out += [(pts, step) for pts in continuity.until(now)]
        elif not continuity.late(now):
            out += [(pts, step) for pts in continuity.unit(now, duration)]
            out.append((now, duration))
            step = duration
    for (pts, length), (following, _) in pairwise(out):
        assert following > pts
        hole = following - pts - length
        assert abs(hole) <= length / 2 + 2 or hole > LONGEST_FILLED
