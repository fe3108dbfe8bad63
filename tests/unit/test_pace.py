from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytrickle.pace import Pace


def passed(pace: Pace, times: list[float]) -> list[float]:
    """Of frames at those times: which pass if none waits."""
    through = []
    for now in times:
        if not pace.wait_s(now):
            pace.passed(now)
            through.append(now)
    return through


def test_a_limit_at_the_rate_that_comes_lets_all_pass_whatever_the_jitter() -> None:
    jitter = (0.0, 0.008, -0.007, 0.011, -0.010)
    times = [n / 30 + jitter[n % 5] for n in range(300)]
    assert passed(Pace(30), times) == times


@pytest.mark.parametrize(("limit", "every"), [(30, 1), (15, 2), (10, 3), (5, 6), (1, 30)])
def test_a_part_of_thirty(limit: float, every: int) -> None:
    times = [n / 30 for n in range(301)]
    assert len(passed(Pace(limit), times)) == pytest.approx(300 / every, abs=2)


def test_how_long_to_wait() -> None:
    pace = Pace(10)
    assert pace.wait_s(5.0) == 0
    pace.passed(5.0)
    assert pace.wait_s(5.0) == pytest.approx(0.05)
    assert pace.wait_s(5.04) == pytest.approx(0.01)
    assert pace.wait_s(5.05) == pytest.approx(0, abs=1e-9)
    pace.passed(5.06)  # early: the next one is due as if it had not been
    assert pace.wait_s(5.06) == pytest.approx(0.09)
    assert pace.wait_s(60) == 0
    pace.passed(60)  # what was missed is not made up for
    assert pace.wait_s(60) == pytest.approx(0.05)


@given(st.lists(st.floats(0.0, 0.3), max_size=200), st.floats(0.5, 60))
def test_the_mean_never_exceeds_the_limit(steps: list[float], limit: float) -> None:
    pace, now, through = Pace(limit), 0.0, 0
    for step in steps:
        now += step
        if not pace.wait_s(now):
            pace.passed(now)
            through += 1
    assert through <= now * limit + 1.5
