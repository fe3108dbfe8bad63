"""Pieces of one length out of sound as it comes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfytrickle.mpegts.units import CLOCK
from workers.sound.anchor import JITTER
from workers.sound.pieces import Pieces, fit
from workers.sound.sound import Sound

START = 5 * CLOCK
RATE = 44_100


def ramp(first: int, count: int, channels: int = 2, rate: int = RATE, at: int = 0) -> Sound:
    """Samples that tell their own number; sample 0 of all is at START + ``at``."""
    numbers = np.arange(first, first + count, dtype=np.float32) + 1
    pts = START + at + round(first * CLOCK / rate)
    return Sound(np.repeat(numbers[None], channels, axis=0), rate, pts)


def numbers(pieces: list[Sound]) -> list[int]:
    return [int(n) for piece in pieces for n in piece.samples[0]]


def test_pieces_are_exactly_as_long_as_asked_for() -> None:
    pieces = Pieces(0.05)
    out: list[Sound] = []
    for first in range(0, RATE, 1000):
        pieces.put(ramp(first, 1000))
        out += pieces.take()
    assert {piece.samples.shape for piece in out} == {(2, 2205)}
    assert numbers(out) == [n + 1 for n in range(len(out) * 2205)]
    assert [piece.pts for piece in out] == [START + n * CLOCK // 20 for n in range(len(out))]
    rest = pieces.flush()
    assert numbers(out + rest)[: RATE + 900] == [*range(1, RATE + 901)]
    assert pieces.take() == [] and pieces.flush() == []


def test_a_long_sound_is_many_pieces() -> None:
    pieces = Pieces(0.1)
    pieces.put(ramp(0, RATE))
    assert numbers(pieces.take()) == [*range(1, RATE + 1)]


def test_a_hole_is_silence() -> None:
    pieces = Pieces(0.01)
    pieces.put(ramp(0, 441))
    pieces.put(ramp(4410, 441))
    out = pieces.take()
    assert [piece.pts for piece in out] == [START + 900 * n for n in range(11)]
    assert numbers(out) == [*range(1, 442), *[0] * 3969, *range(4411, 4852)]


def test_an_overlap_is_cut() -> None:
    pieces = Pieces(0.1)
    pieces.put(ramp(0, 4000))
    pieces.put(ramp(1000, 2000))
    pieces.put(ramp(3000, 1410))
    assert numbers(pieces.take()) == [*range(1, 4411)]


def test_a_long_hole_begins_a_new_piece() -> None:
    pieces = Pieces(0.1)
    pieces.put(ramp(0, 100))
    pieces.put(ramp(0, 4410, at=60 * CLOCK))
    first, second = pieces.take()
    assert numbers([first]) == [*range(1, 101), *[0] * 4310]
    assert numbers([second]) == [*range(1, 4411)]
    assert (first.pts, second.pts) == (START, START + 60 * CLOCK)


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (RATE, 1)])
def test_another_rate_or_other_channels_begin_a_new_piece(rate: int, channels: int) -> None:
    pieces = Pieces(0.1)
    pieces.put(ramp(0, 100))
    pieces.put(ramp(0, rate // 10, channels, rate, at=CLOCK))
    first, second = pieces.take()
    assert first.samples.shape == (2, 4410)
    assert numbers([first]) == [*range(1, 101), *[0] * 4310]
    assert (second.samples.shape, second.rate) == ((channels, rate // 10), rate)
    assert (first.pts, second.pts) == (START, START + CLOCK)


def test_silence_where_nothing_comes() -> None:
    pieces = Pieces(0.1)
    for frame in range(31):
        pieces.silence_until(START + frame * CLOCK // 30)
    out = pieces.take()
    assert len(out) >= 9 and not any(numbers(out))
    assert {(piece.samples.shape, piece.rate) for piece in out} == {((2, 4800), 48_000)}
    assert [piece.pts for piece in out] == [START + n * 9000 for n in range(len(out))]


def test_silence_after_sound_is_like_the_sound_and_late_sound_is_cut() -> None:
    pieces = Pieces(0.1)
    pieces.put(ramp(0, 4410, channels=1))
    pieces.silence_until(START + CLOCK // 20)  # there is sound
    pieces.silence_until(START + CLOCK // 5)
    pieces.put(ramp(4410, 8820, channels=1))
    out = pieces.take()
    assert numbers(out) == [*range(1, 4411), *[0] * 4410, *range(8821, 13231)]
    assert {piece.rate for piece in out} == {RATE}
    assert [piece.pts for piece in out] == [START, START + 9000, START + 18000]


def test_silence_does_not_run_after_a_video_far_ahead() -> None:
    pieces = Pieces(0.1)
    pieces.put(ramp(0, 100))
    pieces.silence_until(START + 3600 * CLOCK)
    (only,) = pieces.take()
    assert numbers([only])[:100] == [*range(1, 101)]
    pieces.silence_until(START + 3600 * CLOCK + 9000)
    (later,) = pieces.take()
    assert later.pts == START + 3600 * CLOCK and not any(numbers([later]))


def test_drift_moves_the_pts_of_pieces_and_no_sample() -> None:
    pieces = Pieces(0.02)
    out: list[Sound] = []
    for turn in range(500):
        pieces.put(ramp(turn * 882, 882, at=turn * 20))
        pieces.silence_until(START)  # asks nothing of the order
        out += pieces.take()
    assert numbers(out) == [*range(1, 500 * 882 + 1)]
    for turn, piece in enumerate(out):
        assert abs(piece.pts - START - turn * 1820) <= JITTER


def test_a_piece_is_no_view_of_the_next() -> None:
    pieces = Pieces(0.01)
    pieces.put(ramp(0, 882))
    first, second = pieces.take()
    first.samples[:] = 0
    assert numbers([second]) == [*range(442, 883)]
    assert first.samples.base is None


@settings(max_examples=100, deadline=None)
@given(
    seconds=st.floats(0.0001, 0.3),
    steps=st.lists(
        st.tuples(
            st.integers(-100, 200).map(lambda hundredths: hundredths * CLOCK // 100),
            st.integers(0, 3000),
            st.sampled_from([(8000, 1), (8000, 2), (6000, 2)]),
            st.booleans(),
        ),
        max_size=15,
    ),
)
def test_every_sample_stands_near_its_time(
    seconds: float, steps: list[tuple[int, int, tuple[int, int], bool]]
) -> None:
    pieces = Pieces(seconds)
    out: list[Sound] = []
    now = START
    for move, count, (rate, channels), silent in steps:
        now = max(CLOCK, now + move)
        if silent:
            pieces.silence_until(now)
        else:
            times = now + np.arange(count) * CLOCK / rate
            samples = np.repeat(times.astype(np.float32)[None] / CLOCK, channels, axis=0)
            pieces.put(Sound(samples, rate, now))
            now += count * CLOCK // rate
        out += pieces.take()
    out += pieces.flush()
    for piece in out:
        assert piece.count == max(1, round(piece.rate * seconds))
        times = piece.pts / CLOCK + np.arange(piece.count) / piece.rate
        loud = piece.samples[0] != 0
        assert np.abs(piece.samples[0] - times)[loud].max(initial=0) < 0.006
    for before, after in pairwise(out):
        if (before.rate, before.channels) == (after.rate, after.channels):
            hole = after.pts - before.end_pts
            assert abs(hole) <= 2 * JITTER or hole > 0


@pytest.mark.parametrize(("count", "expected"), [(2400, 2400), (3000, 2400), (100, 100), (0, 0)])
def test_what_a_workflow_made_is_as_long_as_its_piece(count: int, expected: int) -> None:
    piece = ramp(0, 4800, rate=48_000)
    made = fit(ramp(0, count, channels=3).samples, 24_000, piece)
    assert (made.samples.shape, made.rate, made.pts) == ((3, 2400), 24_000, START)
    assert made.duration == piece.duration
    assert numbers([made]) == [*range(1, expected + 1), *[0] * (2400 - expected)]
