"""Sound waits for its video, and not for ever."""

from __future__ import annotations

from comfytrickle.mpegts.units import CLOCK, AccessUnit, ElementaryStream
from workers.sound.route import Held, SoundRoute

AAC = ElementaryStream(0x101, 0x0F, "audio", "aac")


def held(at: float) -> Held:
    pts = int(at * CLOCK)
    return Held(AAC.pid, pts, AccessUnit(AAC, b"", pts, None, 0.0))


def filled(*seconds: float) -> SoundRoute:
    route = SoundRoute()
    for at in seconds:
        route.put(held(at))
    return route


def times(held: list[Held]) -> list[float]:
    return [one.pts / CLOCK for one in held]


def test_it_goes_with_the_video_of_its_time() -> None:
    route = filled(0.0, 0.5, 1.0, 1.5)
    assert times(route.until(int(0.7 * CLOCK))) == [0.0, 0.5]
    assert times(route.until(int(0.7 * CLOCK))) == []
    assert times(route.until(int(1.0 * CLOCK))) == [1.0]
    assert times(route.rest()) == [1.5]
    assert route.rest() == []


def test_what_a_workflow_makes_comes_late_and_takes_its_place() -> None:
    route = filled(0.0, 1.0, 2.0)
    route.put(held(0.5))
    route.put(held(1.0))
    assert times(route.rest()) == [0.0, 0.5, 1.0, 1.0, 2.0]


def test_a_slow_workflow_delays_it_and_loses_nothing() -> None:
    route = filled(*(n / 10 for n in range(40)))  # video is 4 s behind
    assert times(route.overdue()) == []
    assert len(route.until(4 * CLOCK)) == 40


def test_when_video_has_ceased_it_goes_alone_after_a_while() -> None:
    route = filled(*(float(n) for n in range(10)))
    assert times(route.overdue()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert times(route.until(0)) == []


def test_while_no_frame_was_out_it_does_not_pile_up() -> None:
    route = filled(*(float(n) for n in range(100)))
    assert route.stale == 69
    assert times(route.rest()) == [float(n) for n in range(69, 100)]


def test_alone_it_says_that_it_is_there() -> None:
    told = []
    route = filled(0.0)
    route.on_alone = lambda: told.append(len(told))
    route.put(held(1.0))
    route.alone = True
    route.put(held(2.0))
    assert told == [0] and times(route.rest()) == [0.0, 1.0, 2.0]
