"""Which way each unit of sound takes through a worker, and how the tracks leave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from comfytrickle.messages import EncodeConfig
from comfytrickle.mpegts.units import CLOCK, AccessUnit, ElementaryStream
from tests.support.sounds import coded, tone
from workers.sound.decode import SoundDecoder
from workers.sound.ear import Ear
from workers.sound.intake import Intake, Track
from workers.sound.outgoing import OutUnit, SoundOut
from workers.sound.route import Held, SoundRoute
from workers.sound.sound import Sound
from workers.stages.stats import Stats

AAC = ElementaryStream(0x101, 0x0F, "audio", "aac")
OTHER = ElementaryStream(0x102, 0x0F, "audio", "aac")
VIDEO = ElementaryStream(0x100, 0x1B, "video", "h264")
RATE = 48_000
STEP = 1920  # ticks of an AAC frame at 48 kHz


def aac_units(seconds: float = 1.0, stream: ElementaryStream = AAC) -> list[AccessUnit]:
    units = coded("aac", tone(seconds, RATE), RATE, CLOCK)
    return [AccessUnit(stream, unit.data, unit.pts, None, 0.0, stream_id=0xC0) for unit in units]


class Way:
    def __init__(self, wanted: str = "auto") -> None:
        self.route = SoundRoute()
        self.ear = Ear(lambda: None)
        self.stats = Stats()
        self.intake = Intake(wanted, self.route, self.ear, self.stats)
        self.intake.program([VIDEO, AAC, OTHER])

    def take(self, units: list[AccessUnit]) -> list[Held]:
        for unit in units:
            assert unit.pts is not None
            self.intake.take(unit, unit.pts, 7)
        return self.route.rest()

    def heard(self) -> float:
        """Seconds of sound that wait for the workflow."""
        return self.ear.waiting_s


def test_nothing_is_decided_before_a_workflow_is_loaded() -> None:
    way, units = Way(), aac_units()
    assert way.take(units[:10]) == [] and way.intake.tracks() == []
    way.ear.listen(0.0, makes=False)
    held = way.take(units[10:11])
    assert [one.what for one in held] == units[:11]
    assert (held[3].pts, held[3].segment, held[3].source_pts) == (units[3].pts, 7, units[3].pts)
    assert way.intake.tracks() == [Track(AAC, encoded=False), Track(OTHER, encoded=False)]
    assert way.stats.audio_in == 11 and way.intake.dropped() == {}


def test_the_workflow_hears_the_first_track_and_it_leaves_too() -> None:
    way = Way()
    way.ear.listen(0.1, makes=False)
    assert len(way.take(aac_units())) == len(aac_units())
    assert way.heard() >= 0.9
    before = way.heard()
    assert len(way.take(aac_units(stream=OTHER))) == len(aac_units())
    assert way.heard() == before


def test_what_the_workflow_makes_takes_the_place_of_the_first_track() -> None:
    way = Way()
    way.ear.listen(0.1, makes=True)
    assert way.take(aac_units()) == [] and way.heard() >= 0.9
    assert way.intake.tracks() == [Track(AAC, encoded=True), Track(OTHER, encoded=False)]
    assert way.intake.describe() == {"codec_in": "aac", "tracks": 2, "way": "workflow"}
    assert len(way.take(aac_units(stream=OTHER))) == len(aac_units())


def test_a_source_without_sound_is_told_by_what_the_workflow_makes_of_silence() -> None:
    way = Way()
    way.intake.program([VIDEO])
    way.ear.listen(0.1, makes=False)
    assert way.intake.describe() is None
    way.ear.listen(0.1, makes=True)
    assert way.intake.describe() == {"codec_in": None, "tracks": 0, "way": "workflow"}


def test_another_codec_is_wanted() -> None:
    way = Way("opus")
    way.ear.listen(0.0, makes=False)
    held = way.take(aac_units())
    assert all(isinstance(one.what, Sound) for one in held)
    assert sum(one.what.count for one in held if isinstance(one.what, Sound)) >= RATE
    assert {one.track for one in held} == {AAC.pid} and {one.segment for one in held} == {7}
    assert [track.encoded for track in way.intake.tracks()] == [True, True]


@pytest.mark.parametrize(("seconds", "dropped"), [(0.0, True), (0.1, False)])
def test_no_sound_is_wanted(seconds: float, dropped: bool) -> None:
    """A workflow may hear it all the same; then it has served."""
    way, units = Way("none"), aac_units()
    way.ear.listen(seconds, makes=False)
    assert way.take(units) == [] and way.intake.tracks() == []
    assert way.intake.dropped() == ({"off": len(units)} if dropped else {})


def test_damage_and_what_cannot_be_decoded_are_counted() -> None:
    way = Way("opus")
    way.ear.listen(0.0, makes=False)
    way.intake.drop_damaged()
    odd = replace(AAC, codec="dts")
    way.intake.program([odd])
    way.take([AccessUnit(odd, b"??", CLOCK, None, 0.0)])
    assert way.intake.dropped() == {"damaged": 1, "unsupported": 1}
    assert way.stats.audio_in == 2


def sound_out(delay: float = 0.0, **config: Any) -> SoundOut:
    return SoundOut(EncodeConfig(**config), 0x101, lambda: delay)


def given(out: SoundOut, units: list[AccessUnit]) -> list[OutUnit]:
    found = []
    for unit in units:
        assert unit.pts is not None
        found += out.units(Held(unit.stream.pid, unit.pts, unit))
    return found


def silence(at: float, seconds: float) -> Held:
    samples = np.zeros((2, round(seconds * RATE)), np.float32)
    return Held(AAC.pid, round(at * CLOCK), Sound(samples, RATE, round(at * CLOCK)))


def decoded(units: list[OutUnit]) -> float:
    """Seconds."""
    decoder = SoundDecoder("aac")
    return sum(s.count / s.rate for u in units for s in decoder.decode(u.data, u.pts))


def test_tracks_leave_as_they_came_under_pids_of_ours() -> None:
    out, units = sound_out(), aac_units()
    out.announce([Track(AAC, encoded=False), Track(OTHER, encoded=False)])
    assert [(stream.pid, stream.codec) for stream in out.streams] == [
        (0x101, "aac"),
        (0x102, "aac"),
    ]
    left = given(out, units)
    assert [(one.data, one.pts, one.stream_id) for one in left] == [
        (unit.data, unit.pts, 0xC0) for unit in units
    ]
    assert {one.stream.pid for one in left} == {0x101} and out.counts.silence == 0
    assert {one.stream.pid for one in given(out, aac_units(stream=OTHER))} == {0x102}


def test_a_hole_is_filled_with_silence_that_decodes() -> None:
    out, units = sound_out(), aac_units(2.0)
    out.announce([Track(AAC, encoded=False)])
    left = given(out, units[:30] + units[60:])
    assert [one.pts for one in left] == [unit.pts for unit in units]
    assert out.counts.silence == 30 and sum(one.source is None for one in left) == 30
    assert decoded(left) == pytest.approx(len(units) * 1024 / RATE)


def test_sound_that_lags_behind_its_video_is_silence_and_then_late() -> None:
    out, units = sound_out(), aac_units(5.0)
    out.announce([Track(AAC, encoded=False)])
    given(out, units[:10])
    end = CLOCK + 9 * STEP
    assert out.fill(end + 2 * CLOCK) == []
    filled = out.fill(end + 3 * CLOCK)
    assert 45 <= len(filled) <= 47 and all(one.source is None for one in filled)
    assert given(out, units[10:12]) == [] and out.counts.late == 2
    assert out.fill(end + 4 * CLOCK) == [], "now it is given more time"
    rest = given(out, units[len(filled) + 10 :])
    assert rest[0].source is not None or rest[0].pts == filled[-1].pts + STEP


def test_sound_is_encoded_under_the_same_pid_when_the_codec_is_the_same() -> None:
    """Passed on, then made by a workflow, then passed on again: one track to a player."""
    out, units = sound_out(), aac_units(3.0)
    out.announce([Track(AAC, encoded=False)])
    left = given(out, units[:47])
    for n in range(10):
        left += out.units(silence(2.0 + n / 10, 0.1))
    left += given(out, units[94:])
    assert {one.stream.pid for one in left} == {0x101} and len(out.streams) == 1
    assert out.counts.silence == 0 and out.counts.late == 0
    steps = np.diff([one.pts for one in left])
    assert decoded(left) == pytest.approx(3.0, abs=0.1) and steps.max() < 2.5 * STEP


def test_another_codec_has_a_pid_of_its_own() -> None:
    out = sound_out(audio="opus", delay=0.5)
    given(out, aac_units(0.2))
    left = out.units(silence(1.2, 1.0))
    assert [stream.codec for stream in out.streams] == ["aac", "opus"]
    assert {(one.stream.pid, one.stream_id) for one in left} == {(0x102, 0xBD)}
    out.announce([Track(AAC, encoded=True)])
    assert out.fill(round(4.2 * CLOCK)) == []
    later = round((2.2 + 2.0 + 0.5 + 1.0) * CLOCK)
    filled = out.fill(later)
    assert filled and all(one.source is None for one in filled)
    assert filled[-1].pts < later - 2.4 * CLOCK
    assert out.counts.silence == len(filled)


def test_no_sound_leaves_when_none_is_wanted() -> None:
    out = sound_out(audio="none")
    assert given(out, aac_units()) == [] and out.units(silence(0.0, 1.0)) == []
    assert out.streams == []
