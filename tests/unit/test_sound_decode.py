"""Coded sound to samples, each where its timestamp says."""

from __future__ import annotations

import random
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from comfytrickle.mpegts.units import CLOCK
from tests.support.sounds import Unit, click, coded, onset, tone
from workers.sound.decode import SoundDecoder
from workers.sound.errors import UnsupportedSound
from workers.sound.opus import opus_descriptors
from workers.sound.sound import Sound

CODECS = ("aac", "aac_latm", "mp2", "mp3", "ac3", "eac3", "opus")
START = 100 * CLOCK
TWO_MS = 2 * CLOCK / 1000


@cache
def units(codec: str, rate: int = 48_000, channels: int = 2) -> tuple[Unit, ...]:
    return tuple(coded(codec, click(1.0, 0.5, rate, channels), rate, START))


def decoded(decoder: SoundDecoder, of: tuple[Unit, ...] | list[Unit]) -> list[Sound]:
    return [sound for unit in of for sound in decoder.decode(unit.data, unit.pts)]


@pytest.mark.parametrize(
    ("codec", "rate"),
    [
        *((codec, 48_000) for codec in CODECS),
        *((codec, rate) for codec in CODECS if codec != "opus" for rate in (44_100, 32_000)),
    ],
)
def test_a_click_comes_out_at_its_time(codec: str, rate: int) -> None:
    decoder = SoundDecoder(codec)
    sounds = decoded(decoder, units(codec, rate)) + decoder.flush()
    decoder.close()
    assert {(sound.rate, sound.channels) for sound in sounds} == {(rate, 2)}
    assert all(sound.samples.dtype == np.float32 for sound in sounds)
    assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS
    for before, after in pairwise(sounds):
        assert abs(after.pts - before.end_pts) <= 1
    assert decoder.damaged == 0


@pytest.mark.parametrize("codec", CODECS)
def test_joining_in_the_middle(codec: str) -> None:
    later = [unit for unit in units(codec) if unit.pts > START + CLOCK // 5]
    sounds = decoded(SoundDecoder(codec), later)
    assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS
    assert abs(sounds[0].pts - later[0].pts) <= 2 * 1536 * CLOCK // 48_000


@pytest.mark.parametrize("codec", ["aac", "mp2", "mp3", "ac3"])
def test_several_frames_in_a_payload_and_frames_over_two(codec: str) -> None:
    whole = units(codec, 44_100)
    stream = b"".join(unit.data for unit in whole)
    starts = np.cumsum([0, *(len(unit.data) for unit in whole)]).tolist()
    decoder = SoundDecoder(codec)
    sounds: list[Sound] = []
    for begin in range(0, len(stream), 777):
        first = next((i for i, s in enumerate(starts[:-1]) if begin <= s < begin + 777), None)
        # No frame begins in it: the time is one that must not be believed.
        pts = 0 if first is None else whole[first].pts
        sounds += decoder.decode(stream[begin : begin + 777], pts)
    assert sum(sound.count for sound in sounds) >= 44_100
    assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS
    assert decoder.damaged == 0


def test_many_short_frames_of_one_payload_keep_their_time() -> None:
    short = coded("opus", click(1.0, 0.5, 48_000), 48_000, START, {"frame_duration": "2.5"})
    (sounds,) = [SoundDecoder("opus").decode(b"".join(u.data for u in short), short[0].pts)]
    assert len(sounds) == len(short)
    assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_frames_are_counted_and_the_rest_is_decoded(codec: str) -> None:
    decoder = SoundDecoder(codec)
    broken = list(units(codec))
    for index in (2, 5):
        broken[index] = Unit(broken[index].data[: len(broken[index].data) // 2], broken[index].pts)
    sounds = decoded(decoder, broken)
    assert 1 <= decoder.damaged <= 2
    assert len(sounds) >= len(broken) - 4
    assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS


@pytest.mark.parametrize("codec", CODECS)
def test_noise_in_the_bytes_never_raises(codec: str) -> None:
    chance = random.Random(7)
    decoder = SoundDecoder(codec)
    noisy = coded(codec, tone(3.0, 48_000), 48_000, START)
    for number, unit in enumerate(noisy[:-3]):
        data = bytearray(unit.data)
        data[0] ^= number % 10 == 9
        for _ in range(chance.choice((0, 1, 5))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for sound in decoder.decode(bytes(data), unit.pts, damaged=chance.random() < 0.1):
            assert sound.channels > 0
    # A false header may hold back what follows it, at most as long as a frame can be.
    after = [
        sound
        for turn in range(20)
        for unit in noisy[5:10]
        for sound in decoder.decode(unit.data, unit.pts + turn)
    ]
    assert after
    assert after[-1].count in (960, 1024, 1152, 1536)
    assert decoder.damaged > 0


def test_bytes_missing_before_a_payload() -> None:
    first, second, third, fourth = units("mp2")[3:7]
    decoder = SoundDecoder("mp2")
    assert len(decoder.decode(first.data + second.data[:200], first.pts)) == 1
    (sound,) = decoder.decode(fourth.data, fourth.pts, damaged=True)
    assert (sound.pts, sound.count) == (fourth.pts, 1152)
    assert decoder.damaged == 1
    assert third.pts < fourth.pts


@pytest.mark.parametrize("codec", ["aac", "aac_latm", "mp2", "mp3", "ac3", "eac3"])
def test_another_rate_and_other_channels_in_the_same_stream(codec: str) -> None:
    decoder = SoundDecoder(codec)
    before = decoded(decoder, units(codec, 48_000, 2))
    after = decoded(decoder, coded(codec, click(1.0, 0.5, 32_000, 1), 32_000, START + 5 * CLOCK))
    assert {(sound.rate, sound.channels) for sound in before} == {(48_000, 2)}
    assert (after[-1].rate, after[-1].channels) == (32_000, 1)
    assert abs(onset(after) - START - 5 * CLOCK - CLOCK // 2) < TWO_MS


@pytest.mark.parametrize(("codec", "channels"), [("aac", 6), ("ac3", 6), ("aac", 1), ("mp3", 1)])
def test_channels_stay_those_of_the_source(codec: str, channels: int) -> None:
    sounds = decoded(SoundDecoder(codec), units(codec, 48_000, channels))
    assert {sound.channels for sound in sounds} == {channels}


def test_opus_channels_are_those_of_the_descriptor() -> None:
    mono = coded("opus", click(1.0, 0.5, 48_000, 1), 48_000, START)
    for channels in (1, 2):
        sounds = decoded(SoundDecoder("opus", opus_descriptors(channels)), mono)
        assert {sound.channels for sound in sounds} == {channels}
        assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS


def test_opus_surround() -> None:
    six = coded("opus", click(1.0, 0.5, 48_000, 6), 48_000, START, {"mapping_family": "1"})
    sounds = decoded(SoundDecoder("opus", opus_descriptors(6)), six)
    assert {sound.channels for sound in sounds} == {6}
    assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS


def test_closing_and_flushing_take_no_order() -> None:
    unused = SoundDecoder("aac")
    assert unused.flush() == []
    unused.close()
    used = SoundDecoder("mp3")
    decoded(used, units("mp3"))
    used.close()
    used.close()
    assert abs(onset(decoded(used, units("mp3"))) - START - CLOCK // 2) < TWO_MS


def test_a_codec_that_is_not_known() -> None:
    with pytest.raises(UnsupportedSound):
        SoundDecoder("vorbis")
