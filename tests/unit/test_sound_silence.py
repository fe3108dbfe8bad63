"""Silent frames that stand between those of another encoder."""

from __future__ import annotations

import numpy as np
import pytest

from comfytrickle.mpegts.units import CLOCK
from tests.support.sounds import Unit, coded, tone
from workers.sound.decode import SoundDecoder
from workers.sound.framing import CodedFrame, split
from workers.sound.opus import opus_descriptors
from workers.sound.silence import silent_unit
from workers.sound.sound import Sound

SHAPES = [
    ("aac", 48_000, 2),
    ("aac", 44_100, 1),
    ("aac", 22_050, 3),
    ("aac", 48_000, 5),
    ("aac", 48_000, 6),
    ("mp2", 48_000, 2),
    ("mp2", 44_100, 1),
    ("mp2", 16_000, 2),
    ("mp3", 44_100, 2),
    ("mp3", 48_000, 1),
    ("mp3", 22_050, 2),
    ("mp3", 8_000, 1),
    ("ac3", 48_000, 2),
    ("ac3", 44_100, 1),
    ("ac3", 48_000, 6),
    ("eac3", 48_000, 2),
    ("eac3", 32_000, 5),
    ("opus", 48_000, 2),
    ("opus", 48_000, 1),
]


def frame_of(codec: str, rate: int, channels: int) -> tuple[list[Unit], CodedFrame]:
    units = coded(codec, tone(2.0, rate, channels), rate, CLOCK)
    loop = opus_descriptors(channels) if codec == "opus" else b""
    return units, split(codec, units[4].data, loop)[0]


@pytest.mark.parametrize(("codec", "rate", "channels"), SHAPES)
def test_it_is_a_frame_of_the_same_shape(codec: str, rate: int, channels: int) -> None:
    _, like = frame_of(codec, rate, channels)
    silent = silent_unit(like, codec)
    assert silent is not None
    (frame,) = split(codec, silent, opus_descriptors(channels) if codec == "opus" else b"")
    assert (frame.samples, frame.rate, frame.channels) == (like.samples, rate, channels)
    assert silent_unit(like, codec) == silent
    if codec == "aac":  # the fixed header is the track's own
        assert frame.data[0:3] == like.data[0:3]
        assert frame.data[3] >> 4 == like.data[3] >> 4


@pytest.mark.parametrize(("codec", "rate", "channels"), SHAPES)
def test_spliced_into_a_track_it_decodes_with_no_sample_missing(
    codec: str, rate: int, channels: int
) -> None:
    units, like = frame_of(codec, rate, channels)
    silent = silent_unit(like, codec)
    assert silent is not None
    hole = range(8, 14)
    decoder = SoundDecoder(codec, opus_descriptors(channels) if codec == "opus" else b"")
    sounds: list[Sound] = []
    for number, unit in enumerate(units[:24]):
        data = silent if number in hole else unit.data
        (sound,) = decoder.decode(data, unit.pts)
        sounds.append(sound)
    assert decoder.damaged == 0
    assert {(s.count, s.rate, s.channels) for s in sounds} == {(like.samples, rate, channels)}
    # A frame's window reaches into the next, and a bit reservoir or a prediction begins anew.
    loudness = [float(np.sqrt(np.mean(sound.samples[0] ** 2))) for sound in sounds]
    assert max(loudness[hole.start + 2 : hole.stop - 1]) < 0.005
    assert min(loudness[3 : hole.start]) > 0.12
    assert min(loudness[hole.stop + 5 :]) > 0.12
    assert max(np.abs(sound.samples).max() for sound in sounds) < 0.6


@pytest.mark.parametrize("duration", ["2.5", "10", "60", "100", "120"])
def test_opus_of_any_duration(duration: str) -> None:
    made = coded("opus", tone(0.5, 48_000), 48_000, CLOCK, {"frame_duration": duration})
    (like,) = split("opus", made[1].data)
    silent = silent_unit(like, "opus")
    assert silent is not None
    assert sum(frame.samples for frame in split("opus", silent)) == like.samples
    decoder = SoundDecoder("opus")
    decoder.decode(made[0].data, made[0].pts)
    assert sum(s.count for s in decoder.decode(silent, made[1].pts)) == like.samples
    assert decoder.damaged == 0


def test_where_there_is_none() -> None:
    _, like = frame_of("aac", 48_000, 2)
    _, surround = frame_of("opus", 48_000, 2)
    for codec, frame in (
        ("aac_latm", like),
        ("vorbis", like),
        ("aac", CodedFrame(like.data, 1024, 48_000, 0)),
        ("aac", CodedFrame(like.data, 2048, 48_000, 2)),
        ("aac", CodedFrame(like.data, 1024, 12_345, 2)),
        ("opus", CodedFrame(surround.data, 960, 48_000, 6)),
        ("eac3", CodedFrame(bytes(8), 256, 48_000, 2)),
        ("mp3", CodedFrame(bytes.fromhex("fffe0000"), 384, 48_000, 2)),
    ):
        assert silent_unit(frame, codec) is None
