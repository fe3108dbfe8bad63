"""The output timeline: strictly increasing, true to the source wherever the source has a time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from comfytrickle.mpegts.timeline import DEFAULT_INTERVAL, MAX_JUMP, Timeline
from comfytrickle.mpegts.units import CLOCK

WRAP = 2**33
pts_values = st.one_of(st.none(), st.integers(0, WRAP - 1), st.integers(0, 20_000))


def run(line: Timeline, *values: int | None) -> list[int]:
    return [line.video(value) for value in values]


def test_times_go_out_as_they_are() -> None:
    assert run(Timeline(), 900, 3900, 6901, 9902) == [900, 3900, 6901, 9902]


def test_the_wrap_is_unwrapped_again_and_again() -> None:
    line = Timeline()
    step = CLOCK * 1800
    times = [5_000_000 + i * step for i in range(120)]
    assert run(line, *(t % WRAP for t in times)) == times
    assert times[-1] > 2 * WRAP
    assert line.rebases == 0


def test_a_long_silence_is_carried_and_an_absurd_one_is_not() -> None:
    line = Timeline()
    assert run(line, 0, 3000, 3000 + 35 * CLOCK) == [0, 3000, 3000 + 35 * CLOCK]
    last = 3000 + 35 * CLOCK
    assert line.video(last + MAX_JUMP) == last + MAX_JUMP
    last += MAX_JUMP
    assert run(line, last + MAX_JUMP + 1, last + MAX_JUMP + 3001) == [last + 3000, last + 6000]
    assert line.rebases == 1


def test_a_restart_goes_on_one_interval_later() -> None:
    line = Timeline()
    assert run(line, *range(90_000, 90_000 + 5 * 3600, 3600))[-1] == 104_400
    assert run(line, 0, 3600, 7200) == [108_000, 111_600, 115_200]
    assert line.rebases == 1
    assert run(line, 0, 3600) == [118_800, 122_400]


def test_a_restart_that_lands_half_the_circle_away() -> None:
    line = Timeline()
    run(line, 0, 3000)
    assert run(line, 2**32 + 5, 2**32 + 3005) == [6000, 9000]


def test_equal_and_nearly_equal_times_stay_apart_and_move_nothing() -> None:
    line = Timeline()
    assert run(line, 0, 3000, 3000, 2999, 6000, 9000) == [0, 3000, 3001, 3002, 6000, 9000]
    assert line.rebases == 0


def test_a_missing_time_is_one_interval_on() -> None:
    line = Timeline()
    assert run(line, 0, 3600, None, None, 14_400) == [0, 3600, 7200, 10_800, 14_400]
    assert run(Timeline(), None, None) == [0, DEFAULT_INTERVAL]
    assert run(Timeline(), None, 90_000) == [0, 90_000]
    line = Timeline()
    assert run(line, 0, 3000, None, 4500, 7500) == [0, 3000, 6000, 6001, 7500]


def test_the_interval_is_the_median() -> None:
    line = Timeline()
    run(line, 0, 3000, 6000, 9000, 9000 + 30 * CLOCK, 12_000 + 30 * CLOCK)
    assert line.interval == 3000


def test_a_resumed_stream_goes_on_with_the_offset_it_had() -> None:
    line = Timeline()
    line.resume(WRAP - 3000, 7 * WRAP + 500)  # the source wraps with its next frame
    assert run(line, 0, 3000) == [7 * WRAP + 3500, 7 * WRAP + 6500]
    line = Timeline()
    line.resume(9_000_000, 1_000_000)
    assert run(line, 9_003_000 + 35 * CLOCK) == [1_003_000 + 35 * CLOCK]  # a long pause is carried
    assert run(line, 400_000, 403_000)[0] == 1_006_000 + 35 * CLOCK  # restarted meanwhile


@given(st.lists(pts_values, max_size=60), st.one_of(st.none(), st.integers(0, 2**40)))
def test_always_strictly_increasing(values: list[int | None], resume: int | None) -> None:
    line = Timeline()
    if resume is not None:
        line.resume(resume & (WRAP - 1), resume)
    out = run(line, *values)
    assert all(b > a for a, b in pairwise(out))
    assert resume is None or not out or out[0] > resume


@given(
    st.lists(st.tuples(st.sampled_from(["video", "audio 1", "audio 2"]), pts_values), max_size=60)
)
def test_every_track_is_strictly_increasing(calls: list[tuple[str, int | None]]) -> None:
    line = Timeline()
    last: dict[str, int] = {}
    for track, pts in calls:
        out = line.video(pts) if track == "video" else line.audio(pts, int(track[-1]))
        assert track not in last or out > last[track]
        last[track] = out


def test_audio_has_the_videos_offset() -> None:
    line = Timeline()
    run(line, 90_000, 93_000, 96_000)
    assert line.audio(94_500) == 94_500
    run(line, 0, 3000)  # restart: 0 -> 99000
    assert line.audio(1920) == 99_000 + 1920
    assert line.audio(3840) == 99_000 + 3840


def test_audio_around_a_restart_goes_by_the_nearer_clock() -> None:
    line = Timeline()
    run(line, *range(900_000, 930_000, 3000))
    assert line.audio(920_000) == 920_000
    run(line, 3000)  # -> 930000
    assert line.audio(925_000) == 925_000  # still of before
    assert line.audio(3000 + 1920) == 930_000 + 1920  # of after


def test_audio_that_restarts_before_the_video_goes_on_at_its_own_pace() -> None:
    line = Timeline()
    run(line, *range(9_000_000, 9_030_000, 3000))
    assert [line.audio(t) for t in (9_023_000, 9_024_920)] == [9_023_000, 9_024_920]
    assert [line.audio(t) for t in (1000, 2920)] == [9_026_840, 9_028_760]
    run(line, 3000)  # the video's new clock: 3000 -> 9030000
    assert line.audio(4840) == 9_031_840


def test_audio_goes_on_through_a_pause_of_the_video() -> None:
    line = Timeline()
    run(line, 0, 3000)
    times = list(range(1920, 35 * CLOCK, 1920))
    assert [line.audio(t) for t in times] == times
    assert line.video(35 * CLOCK) == 35 * CLOCK


def test_audio_before_the_first_video_shares_its_wraps() -> None:
    line = Timeline()
    assert line.audio(WRAP - 1000) == WRAP - 1000
    assert line.video(2000) == WRAP + 2000
    assert line.audio(920) == WRAP + 920
    line = Timeline()
    assert line.audio(90_000) == 90_000
    assert line.video(80_000) == 80_000  # a little behind: no restart
    assert line.rebases == 0


def test_audio_alone_is_its_own_clock() -> None:
    line = Timeline()
    times = list(range(WRAP - 9600, WRAP + 9600, 1920))
    assert [line.audio(t % WRAP) for t in times] == times
    last = times[-1]
    assert [line.audio(t) for t in (500_000_000, 500_001_920)] == [last + 1920, last + 3840]
    assert line.audio(None) == last + 5760
    assert [line.audio(t) for t in (77, 1997)] == [last + 7680, last + 9600]


def test_equal_audio_times_stay_apart() -> None:
    line = Timeline()
    line.video(0)
    assert [line.audio(t) for t in (1000, 1000, 900)] == [1000, 1001, 1002]
