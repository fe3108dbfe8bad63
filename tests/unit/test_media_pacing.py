"""The drop policy, simulated on a clock of its own: no threads, no time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from workers.media.frames import Colour, Frame
from workers.media.pacing import Backlog, FramerateCap, Pacing

SD = Colour(matrix=6, full_range=False)
TINY = np.zeros((2, 2, 3), np.uint8)
INTERVAL = 1 / 30


def frame(number: int, came: float = 0.0, pts: int | None = None) -> Frame:
    return Frame(rgb=TINY, pts=number * 3000 if pts is None else pts, colour=SD, arrived=came)


@dataclass
class Result:
    taken: list[Frame] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)  # when taken, since it arrived
    done: list[float] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    backlog: list[tuple[float, int]] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        return [f.pts // 3000 for f in self.taken]

    def gaps(self, after: float = 0.0) -> list[float]:
        late = [t for t in self.done if t >= after]
        return list(np.diff(late))


def simulate(
    arrivals: list[float], service: Callable[[int], float], backlog: Backlog | None = None
) -> Result:
    """Frames come at ``arrivals``; the consumer needs ``service(n)`` for the n-th that it takes."""
    backlog = backlog or Backlog()
    result = Result()
    events: list[tuple[float, int, str]] = [(t, n, "put") for n, t in enumerate(arrivals)]
    heapq.heapify(events)
    serial = len(arrivals)
    idle, given, may_wait, deadline = True, -1.0, True, -1.0
    while events:
        now, number, kind = heapq.heappop(events)
        if kind == "put":
            backlog.put(frame(number, now), now)
            result.backlog.append((now, backlog.waiting))
            if not idle:
                continue
            may_wait = deadline < 0  # woken while it waited for a newer one
        elif kind == "done":
            backlog.pacing.served(now - given)
            result.done.append(now)
            idle, may_wait = True, True
        elif kind == "timeout":
            if not idle or now != deadline:
                continue
            may_wait = False
        choice = backlog.take(now, may_wait=may_wait)
        deadline = -1.0
        if isinstance(choice, Frame):
            result.taken.append(choice)
            result.ages.append(now - choice.arrived)
            idle, given = False, now
            heapq.heappush(events, (now + service(len(result.taken) - 1), serial, "done"))
        elif choice is not None:
            deadline = now + choice + 0.002
            heapq.heappush(events, (deadline, serial, "timeout"))
        serial += 1
    result.dropped = backlog.dropped
    return result


def live(count: int, burst: int = 0, begin: float = 0.0) -> list[float]:
    """The first ``burst`` frames together, the others at 30 fps."""
    return [begin + 0.001 * n for n in range(burst)] + [
        begin + 0.001 * burst + INTERVAL * n for n in range(count - burst)
    ]


def test_a_fast_engine_works_off_the_start_backlog_and_loses_nothing() -> None:
    result = simulate(live(150, burst=12), lambda n: 0.007)
    assert result.numbers == list(range(150))
    assert result.dropped == {"latest": 0, "framerate": 0}
    assert max(length for now, length in result.backlog if now > 0.2) == 1
    assert max(result.ages[20:]) < 0.001


def test_an_engine_at_nine_tenths_of_the_rate_still_catches_up() -> None:
    result = simulate(live(300, burst=4), lambda n: 0.030)
    assert result.numbers == list(range(300))
    assert max(result.ages[60:]) < 0.005


@pytest.mark.parametrize("service", [0.040, 0.060, 0.100, 0.250])
def test_a_slow_engine_gets_the_newest_and_an_even_rhythm(service: float) -> None:
    result = simulate(live(600, burst=12), lambda n: service)
    settled = [
        age for number, age in zip(result.numbers, result.ages, strict=True) if 60 <= number < 590
    ]
    assert np.percentile(settled, 99) <= INTERVAL + 1e-6
    assert max(settled) <= INTERVAL + 0.003
    gaps = result.gaps(after=1.5)
    assert max(gaps) <= service * 1.15 + 0.003  # no gap beyond the work and a short wait
    assert max(gaps) - min(gaps) <= service * 0.15 + 0.003
    assert len(result.taken) + result.dropped["latest"] == 600
    assert result.numbers == sorted(result.numbers)


def test_an_engine_of_nearly_two_intervals_locks_to_the_source() -> None:
    """60 ms at 30 fps: a short wait makes every result as fresh as it can be, and even."""
    result = simulate(live(600), lambda n: 0.060)
    ages = result.ages[50:]
    steps = np.diff(result.numbers[50:])
    assert np.percentile(ages, 99) < 0.003
    assert set(steps) == {2}


def test_an_engine_slower_from_its_first_frame_is_recognised_soon() -> None:
    result = simulate(live(60), lambda n: 0.060)
    assert max(result.ages) < 0.2
    assert result.ages[7] < 0.04


def test_a_cold_start_costs_no_frame() -> None:
    """The first frames take longer than they may, the others do not."""
    result = simulate(live(150, burst=6), lambda n: 0.080 if n < 4 else 0.007)
    assert result.numbers == list(range(150))
    assert max(result.ages[60:]) < 0.001


def test_a_hiccup_of_a_fast_engine_costs_latency_for_a_moment_and_no_frame() -> None:
    result = simulate(live(300), lambda n: 0.300 if n == 150 else 0.007)
    assert result.numbers == list(range(300))
    assert result.dropped["latest"] == 0
    assert max(result.ages[151:]) < 0.3
    assert max(result.ages[175:]) < 0.001


def test_a_slow_first_frame_is_taken_for_a_warm_up() -> None:
    result = simulate(live(150), lambda n: 0.500 if n == 0 else 0.007)
    assert result.numbers == list(range(150))
    assert max(result.ages[30:]) < 0.001


def test_an_engine_that_turns_slow_and_fast_again() -> None:
    result = simulate(live(600), lambda n: 0.060 if 100 <= n < 200 else 0.007)
    assert result.dropped["latest"] > 50
    assert result.numbers[:100] == list(range(100))
    assert max(result.ages[110:200]) <= INTERVAL + 0.003
    tail = result.numbers[210:]
    assert tail == list(range(tail[0], 600))  # fast again: nothing is lost


def test_alternating_service_times_count_by_their_mean() -> None:
    result = simulate(live(600), lambda n: 0.005 if n % 2 else 0.100)
    assert max(result.ages[20:]) <= INTERVAL + 0.02
    assert result.dropped["latest"] > 100


def test_a_wrong_estimate_is_corrected_after_some_seconds() -> None:
    """One long stall in eight frames hides from the estimate; the backlog shows it."""
    result = simulate(live(1200), lambda n: 0.500 if n % 8 == 0 else 0.007)
    assert result.dropped["latest"] > 0
    assert max(result.ages) < 4
    assert min(result.ages[-20:]) < 1


def test_a_pause_of_the_source_is_not_a_slow_source() -> None:
    arrivals = live(60) + [12 + INTERVAL * n for n in range(60)]
    result = simulate(arrivals, lambda n: 0.060)
    assert max(result.ages[10:]) <= INTERVAL + 0.003


def test_bounds_hold_even_for_a_stuck_consumer() -> None:
    backlog = Backlog()
    for number in range(200):
        assert backlog.put(frame(number), 0.0)
    assert backlog.waiting == 64
    assert backlog.dropped["latest"] == 136
    first = backlog.take(0.0)
    assert isinstance(first, Frame) and first.pts == 136 * 3000


def test_bytes_are_bounded_too() -> None:
    backlog = Backlog(max_bytes=100)
    for number in range(20):
        backlog.put(frame(number), 0.0)  # 12 bytes each
    assert backlog.waiting == 9
    big = Frame(np.zeros((20, 20, 3), np.uint8), 90_000, SD, 0.0)
    backlog.put(big, 0.0)
    backlog.put(big, 0.0)
    assert backlog.waiting == 1  # one is always kept, however large
    backlog.take(0.0)
    for number in range(100, 120):
        backlog.put(frame(number), 0.0)
    assert backlog.waiting == 9  # and the sum is right again


def test_never_keeps_everything_in_order() -> None:
    backlog = Backlog("never")
    for number in range(8):
        assert not backlog.full
        backlog.put(frame(number), 0.0)
    assert backlog.full
    for _ in range(20):
        backlog.pacing.served(5.0)
    taken = [backlog.take(100.0) for _ in range(8)]
    assert [f.pts // 3000 for f in taken if isinstance(f, Frame)] == list(range(8))
    assert backlog.take(100.0) is None
    assert backlog.dropped == {"latest": 0, "framerate": 0}


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="sometimes"):
        Backlog("sometimes")


@pytest.mark.parametrize(
    ("limit", "interval", "share"),
    [
        (20, 3000, 2 / 3),
        (15, 3000, 1 / 2),
        (10, 3000, 1 / 3),
        (25, 3000, 5 / 6),
        (30, 3000, 1),
        (30, 3003, 1),
        (30, 3600, 1),
        (30, 1500, 1 / 2),
        (1, 3000, 1 / 30),
    ],
)
def test_the_cap_is_exact_and_even(limit: float, interval: int, share: float) -> None:
    cap = FramerateCap(limit)
    admitted = [n for n in range(600) if cap.admits(n * interval)]
    assert len(admitted) == pytest.approx(600 * share, abs=2)
    steps = np.diff(admitted)
    assert steps.max() - steps.min() <= 1


def test_the_cap_survives_gaps_jumps_and_rounding() -> None:
    cap = FramerateCap(15)
    jitter = [0, 1, -1, 2, -2]
    admitted = [n for n in range(300) if cap.admits(n * 3000 + jitter[n % 5])]
    assert admitted == list(range(0, 300, 2))
    assert cap.admits(10_000_000)
    assert not cap.admits(10_003_000)
    assert cap.admits(50)
    assert not cap.admits(3050)
    cap.limit = None
    assert cap.admits(3060)


def test_what_the_cap_drops_is_counted_and_seen_as_a_slower_source() -> None:
    backlog = Backlog(max_framerate=10)
    result = simulate(live(300), lambda n: 0.060, backlog)
    assert result.dropped["framerate"] == 200
    assert result.dropped["latest"] == 0  # 60 ms is fast enough for 10 frames per second
    assert len(result.taken) == 100


def test_estimates_need_evidence() -> None:
    pacing = Pacing()
    assert pacing.service_s == 0 and pacing.interval_s == 0
    for _ in range(3):
        pacing.served(9.0)  # the first ones are cold
    pacing.served(9.0)
    assert pacing.service_s == 0  # a warm-up, for all we know
    pacing.served(0.01)
    assert pacing.service_s == pytest.approx(0.01)
    pacing.came(0, 0.0)
    pacing.came(3000, 0.0)
    pacing.came(3000, 0.0)
    assert pacing.interval_s == pytest.approx(1 / 30)
