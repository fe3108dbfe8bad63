"""Figures are measured or absent, never invented."""

from __future__ import annotations

from workers.stages.stats import Drops, Rate, Stats, Window


def test_quantiles_of_nothing_are_none() -> None:
    assert Window().quantiles() is None


def test_quantiles_in_milliseconds() -> None:
    window = Window(size=100)
    for n in range(1, 201):  # the first hundred fall out
        window.add(n / 1000)
    quantiles = window.quantiles()
    assert quantiles is not None
    assert (quantiles.p50, quantiles.p95, quantiles.p99) == (151.0, 196.0, 200.0)


def test_rate_of_a_steady_stream_and_of_one_that_stops() -> None:
    rate = Rate(over_s=3.0)
    assert rate.per_second(0.0) is None
    assert rate.age(0.0) is None
    for n in range(91):
        rate.tick(n / 30)
    assert rate.per_second(3.0) == 30.0
    assert rate.age(3.5) == 0.5
    slowing = rate.per_second(5.0)
    assert slowing is not None and slowing < 20
    assert rate.per_second(7.0) == 0.0


def test_one_event_is_no_rate() -> None:
    rate = Rate()
    rate.tick(1.0)
    assert rate.per_second(1.1) is None


def test_drops_of_several_owners_add_up() -> None:
    drops = Drops()
    drops.add("error", 2)
    drops.add("error")
    counters = Stats().counters([drops.snapshot(), {"latest": 4, "error": 1, "damaged": 0}])
    assert counters.dropped == {"error": 4, "latest": 4}
