from __future__ import annotations

import pytest

from comfytrickle.trickle.backoff import Backoff


def test_grows_to_the_cap_and_starts_over() -> None:
    backoff = Backoff(0.02, factor=2.0, cap=0.1, jitter=0.0)
    assert [backoff.next() for _ in range(5)] == [0.02, 0.04, 0.08, 0.1, 0.1]
    backoff.reset()
    assert backoff.next() == 0.02


def test_jitter_spreads_below_the_delay_only() -> None:
    draws = iter([0.0, 1.0, 0.5])
    backoff = Backoff(1.0, factor=1.0, cap=1.0, jitter=0.5, rng=lambda: next(draws))
    assert [backoff.next() for _ in range(3)] == [1.0, 0.5, 0.75]


@pytest.mark.parametrize(
    "wrong", [{"first": 0.0}, {"first": 3.0}, {"factor": 0.5}, {"jitter": 1.5}, {"jitter": -0.1}]
)
def test_senseless_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="required"):
        Backoff(**wrong)  # type: ignore[arg-type]
