"""Pieces of sound on their way to the workflow, through it, and out."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from comfytrickle.mpegts.units import CLOCK
from workers.engine.live import LiveWorkflow
from workers.engine.protocol import Audio, LoadedWorkflow, NodeFailed, RunContext
from workers.sound.ear import Ear
from workers.sound.route import Held, SoundRoute
from workers.sound.sound import Sound
from workers.stages.hearing import Hearing
from workers.stages.stage import Stage
from workers.stages.stats import Stats

RATE = 48_000
PIECE_S = 0.1


class Part:
    """A sound part that halves what it hears; it fails where ``fails`` says so."""

    def __init__(self, fails: bool = False, length: int | None = None) -> None:
        self.heard: list[Audio] = []
        self.fails = fails
        self.length = length

    def hear(self, audio: Audio, context: RunContext) -> Audio:
        self.heard.append(audio)
        if self.fails:
            raise NodeFailed("n", "Moody", "no")
        context.taken["t"] = {"data": "text"}
        audio["waveform"] *= 0.5  # in place, as a node may
        made = audio["waveform"]
        if self.length is not None:
            made = made.repeat(1, 1, 3)[:, :, : self.length]
        return {"waveform": made, "sample_rate": audio["sample_rate"]}


class Bench:
    """An Ear, a Hearing and where the sound goes."""

    def __init__(self) -> None:
        self.pokes = 0
        self.ear = Ear(self._poked)
        self.route = SoundRoute()
        self.stats = Stats()
        self.failed: list[NodeFailed] = []
        self.taken: list[tuple[dict[str, Any], int]] = []
        self.stage = Stage("engine", lambda *_: None)
        self.hearing = Hearing(
            self.ear,
            self.route,
            self.stats,
            self.stage,
            lambda: 0x101,
            on_taken=lambda context, pts: self.taken.append((context.taken, pts)),
            on_failed=self.failed.append,
        )

    def _poked(self) -> None:
        self.pokes += 1

    def sound(self, at: float, seconds: float, level: float = 0.4) -> None:
        samples = np.full((2, round(seconds * RATE)), level, np.float32)
        self.ear.put(Sound(samples, RATE, round(at * CLOCK)), made=self.ear.makes)

    def out(self) -> list[tuple[float, float, float]]:
        """(seconds, length in seconds, level) of what has come out, one after the other."""
        return [
            (held.pts / CLOCK, held.what.count / RATE, round(float(held.what.samples.mean()), 3))
            for held in self.route.rest()
            if isinstance(held.what, Sound) and held.track == 0x101
        ]


def live(
    part: Part | None, *, makes: bool = True, picture: object = None, piece_s: float = PIECE_S
) -> LiveWorkflow:
    loaded = cast(LoadedWorkflow | None, part)
    return LiveWorkflow(cast(LoadedWorkflow | None, picture), loaded, piece_s, makes, {})


def test_each_piece_goes_through_once_and_out_at_its_time() -> None:
    bench, part = Bench(), Part()
    workflow = live(part)
    bench.hearing.follow(workflow)
    bench.sound(1.0, 0.25)
    assert bench.pokes == 1
    bench.hearing.hear(workflow)
    assert bench.out() == [(1.0, 0.1, 0.2), (1.1, 0.1, 0.2)]
    assert bench.taken == [({"t": {"data": "text"}}, CLOCK), ({"t": {"data": "text"}}, 99_000)]
    bench.ear.end()
    bench.hearing.hear(workflow)
    assert bench.out() == [(1.2, 0.1, 0.1)], "the last piece, half of it silence"


@pytest.mark.parametrize("length", [100, 4800, 9000])
def test_what_comes_out_is_as_long_as_what_went_in(length: int) -> None:
    bench, part = Bench(), Part(length=length)
    workflow = live(part)
    bench.hearing.follow(workflow)
    bench.sound(0.0, 0.2)
    bench.hearing.hear(workflow)
    assert [round(seconds, 6) for _, seconds, _ in bench.out()] == [0.1, 0.1]


def test_a_piece_that_fails_goes_out_as_it_came() -> None:
    bench, part = Bench(), Part(fails=True)
    workflow = live(part)
    bench.hearing.follow(workflow)
    bench.sound(0.0, 0.2)
    bench.hearing.hear(workflow)
    assert [error.node_id for error in bench.failed] == ["n", "n"] and bench.taken == []
    assert bench.out() == [(0.0, 0.1, 0.4), (0.1, 0.1, 0.4)]
    assert bench.stage.busy_since is None


def test_when_there_is_no_time_for_it_it_goes_out_as_it_came() -> None:
    bench, part = Bench(), Part()
    workflow = live(part)
    bench.hearing.follow(workflow)
    bench.sound(0.0, 6.0)
    bench.hearing.hear(workflow)
    out = bench.out()
    assert bench.stats.audio_unheard == 9 and len(out) == 60
    assert {level for _, _, level in out[:9]} == {0.4}
    assert {level for _, _, level in out[9:]} == {0.2}


def test_when_it_is_interrupted_no_node_runs_and_nothing_is_lost() -> None:
    bench, part = Bench(), Part()
    workflow = live(part)
    bench.hearing.follow(workflow)
    bench.sound(0.0, 0.2)
    bench.hearing.hear(workflow, untouched=True)
    assert part.heard == [] and len(bench.out()) == 2 and bench.stats.audio_unheard == 0


def test_another_workflow_leaves_nothing_behind() -> None:
    bench, old = Bench(), live(Part())
    bench.hearing.follow(old)
    bench.sound(0.0, 0.25)
    bench.hearing.follow(live(None, makes=False, piece_s=0.0), before=old)
    out = [(at, round(seconds, 6), level) for at, seconds, level in bench.out()]
    assert out == [(0.0, 0.1, 0.2), (0.1, 0.1, 0.2), (0.2, 0.05, 0.2)], "as the old one makes it"
    assert not bench.ear.listens
    left = Sound(np.zeros((2, 480), np.float32), RATE, CLOCK)
    assert bench.ear.put(left, made=True) is False, "the workflow does not make it any more"
    assert bench.ear.put(left, made=False) is False


def test_what_it_only_hears_is_not_put_out() -> None:
    bench, part = Bench(), Part()
    workflow = live(part, makes=False)
    bench.hearing.follow(workflow)
    bench.sound(0.0, 0.25)
    bench.hearing.hear(workflow)
    assert bench.out() == [] and len(part.heard) == 2
    bench.hearing.follow(live(None, makes=False, piece_s=0.0))
    assert bench.out() == []


def test_a_picture_reads_the_piece_of_its_time() -> None:
    bench, part = Bench(), Part()
    workflow = live(part, picture=object())
    bench.hearing.follow(workflow)
    for n in range(5):
        bench.sound(n / 10, 0.1, level=n / 10)
    bench.hearing.hear(workflow)

    def level(at: float) -> float | None:
        audio = bench.hearing.at(round(at * CLOCK))
        return None if audio is None else round(float(audio["waveform"].mean()), 3)

    assert level(-0.1) is None
    # The node of the sound part wrote into what it was given, and not into this.
    assert [level(at) for at in (0.0, 0.05, 0.1, 0.25, 0.9)] == [0.0, 0.0, 0.1, 0.2, 0.4]


def test_where_no_sound_comes_there_is_silence() -> None:
    bench, part = Bench(), Part()
    workflow = live(part)
    bench.hearing.follow(workflow)
    for n in range(100):  # 30 frames a second
        bench.hearing.frame_came(n * 3000)
    bench.hearing.hear(workflow)
    silent = bench.out()
    assert 11 <= len(silent) <= 13 and {level for _, _, level in silent} == {0.0}
    bench.sound(3.3, 0.1)
    bench.hearing.hear(workflow)
    out = bench.out()
    assert out[0][0] == pytest.approx(silent[-1][0] + PIECE_S), "and the pieces go on"
    assert out[-1][0] + PIECE_S <= 3.4 + 1e-6
    bench.ear.end()
    bench.hearing.hear(workflow)
    assert any(level > 0 for _, _, level in (*out, *bench.out()))


def test_sound_that_is_only_late_is_waited_for() -> None:
    bench, part = Bench(), Part()
    workflow = live(part)
    bench.hearing.follow(workflow)
    for n in range(50):
        bench.hearing.frame_came(n * 3000)
    bench.sound(0.0, 0.2)
    bench.hearing.hear(workflow)
    assert bench.out() == [(0.0, 0.1, 0.2), (0.1, 0.1, 0.2)]


def test_held_sounds_are_in_order_whatever_came_first() -> None:
    route = SoundRoute()
    sound = Sound(np.zeros((2, 480), np.float32), RATE, 0)
    for at in (0, 3, 1, 2):
        route.put(Held(1, at * CLOCK, sound))
    assert [one.pts // CLOCK for one in route.rest()] == [0, 1, 2, 3]
