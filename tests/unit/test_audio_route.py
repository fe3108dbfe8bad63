"""Audio waits for its video, and not for ever."""

from __future__ import annotations

from comfytrickle.mpegts.units import CLOCK, AccessUnit, ElementaryStream
from workers.audio import AudioRoute

AAC = ElementaryStream(0x101, 0x0F, "audio", "aac")


def filled(*seconds: float) -> AudioRoute:
    route = AudioRoute()
    for at in seconds:
        route.put(AccessUnit(AAC, b"", int(at * CLOCK), None, 0.0), int(at * CLOCK))
    return route


def times(held: list) -> list[float]:  # type: ignore[type-arg]
    return [one.pts / CLOCK for one in held]


def test_it_goes_with_the_video_of_its_time() -> None:
    route = filled(0.0, 0.5, 1.0, 1.5)
    assert times(route.until(int(0.7 * CLOCK))) == [0.0, 0.5]
    assert times(route.until(int(0.7 * CLOCK))) == []
    assert times(route.until(int(1.0 * CLOCK))) == [1.0]
    assert times(route.rest()) == [1.5]
    assert route.rest() == []


def test_a_slow_workflow_delays_it_and_loses_nothing() -> None:
    route = filled(*(n / 10 for n in range(40)))  # video is 4 s behind
    assert times(route.overdue()) == []
    assert len(route.until(4 * CLOCK)) == 40


def test_when_video_has_ceased_it_goes_alone_after_a_while() -> None:
    route = filled(*(float(n) for n in range(10)))
    assert times(route.overdue()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert times(route.until(0)) == []
