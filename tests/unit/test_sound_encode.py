"""Samples to coded sound, that an ordinary player finds where they were."""

from __future__ import annotations

import io
from itertools import pairwise

import av
import numpy as np
import pytest

from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import CLOCK
from tests.support.sounds import click, onset, tone
from workers.sound.blocks import Blocks
from workers.sound.decode import SoundDecoder
from workers.sound.encode import EncodedSound, SoundEncoder
from workers.sound.errors import UnsupportedSound
from workers.sound.framing import split
from workers.sound.mix import to_stereo
from workers.sound.resample import Resampler
from workers.sound.sound import Samples, Sound

CODECS = ("aac", "opus")
START = 100 * CLOCK
PID = 0x101
TWO_MS = 2 * CLOCK / 1000


def pieces(samples: Samples, rate: int, start: int = START, size: int = 1000) -> list[Sound]:
    return [
        Sound(samples[:, at : at + size], rate, start + round(at * CLOCK / rate))
        for at in range(0, samples.shape[1], size)
    ]


def encoded(encoder: SoundEncoder, sounds: list[Sound]) -> list[EncodedSound]:
    return [one for sound in sounds for one in encoder.encode(sound)] + encoder.flush()


def played(encoder: SoundEncoder, units: list[EncodedSound]) -> list[Sound]:
    """By libavformat's demuxer and decoder, out of what our muxer writes."""
    stream = encoder.stream(PID)
    muxer = Muxer([stream])
    ts = muxer.tables() + b"".join(muxer.write(PID, one.data, one.pts) for one in units)
    with av.open(io.BytesIO(ts), format="mpegts") as container:
        frames = list(container.decode(container.streams.audio[0]))
    sounds = []
    for frame in frames:
        assert frame.pts is not None and frame.time_base is not None
        pts = round(frame.pts * frame.time_base * CLOCK)
        sounds.append(
            Sound(np.asarray(frame.to_ndarray(), np.float32), frame.sample_rate, pts),
        )
    return sounds


def heard(sounds: list[Sound], begin: int, end: int) -> float:
    """Loudness (RMS) between two times."""
    parts = []
    for sound in sounds:
        times = sound.pts + np.arange(sound.count) * CLOCK / sound.rate
        parts.append(sound.samples[0][(times >= begin) & (times < end)])
    joined = np.concatenate(parts)
    assert joined.size
    return float(np.sqrt(np.mean(joined**2)))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (44_100, 1), (32_000, 6), (8_000, 1)])
def test_a_player_hears_a_click_at_its_time(codec: str, rate: int, channels: int) -> None:
    encoder = SoundEncoder(codec)
    units = encoded(encoder, pieces(click(1.0, 0.5, rate, channels) * 1.2, rate))
    for sounds in (
        played(encoder, units),
        [sound for one in units for sound in _own(encoder, one)],
    ):
        assert {(sound.rate, sound.channels) for sound in sounds} == {(48_000, 2)}
        assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS
        assert sounds[0].pts <= START
        assert sounds[-1].end_pts >= START + CLOCK
    encoder.close()


def _own(encoder: SoundEncoder, one: EncodedSound) -> list[Sound]:
    return SoundDecoder(encoder.codec, encoder.stream(PID).descriptors).decode(one.data, one.pts)


@pytest.mark.parametrize(("codec", "samples"), [("aac", 1024), ("opus", 960)])
def test_each_payload_is_one_frame_and_follows_the_one_before(codec: str, samples: int) -> None:
    encoder = SoundEncoder(codec)
    units = encoded(encoder, pieces(tone(1.0, 48_000), 48_000))
    for one in units:
        (frame,) = split(codec, one.data)
        assert (frame.samples, frame.rate, frame.channels) == (samples, 48_000, 2)
    steps = {after.pts - before.pts for before, after in pairwise(units)}
    assert steps == {samples * CLOCK // 48_000}


@pytest.mark.parametrize("codec", CODECS)
def test_our_demuxer_knows_the_stream(codec: str) -> None:
    stream = SoundEncoder(codec).stream(PID)
    demuxer = Demuxer()
    demuxer.feed(Muxer([stream]).tables() + bytes(0), 0.0)
    assert demuxer.streams == {PID: stream}
    assert (stream.kind, stream.codec) == ("audio", codec)


@pytest.mark.parametrize("codec", CODECS)
def test_bitrate(codec: str) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 96_000)).astype(np.float32)
    sizes = {
        bitrate: sum(
            len(one.data)
            for one in encoded(SoundEncoder(codec, bitrate=bitrate), pieces(noise, 48_000))
        )
        for bitrate in (64_000, 192_000)
    }
    for bitrate, size in sizes.items():
        assert abs(size * 8 / 2 - bitrate) < 0.35 * bitrate


@pytest.mark.parametrize("codec", CODECS)
def test_a_hole_is_silence(codec: str) -> None:
    encoder = SoundEncoder(codec)
    second = tone(1.0, 48_000)
    units = encoded(
        encoder, pieces(second, 48_000) + pieces(second, 48_000, start=START + 3 * CLOCK)
    )
    sounds = played(encoder, units)
    margin = CLOCK // 10
    assert all(abs(b.pts - a.end_pts) <= 1 for a, b in pairwise(sounds))
    assert heard(sounds, START + margin, START + CLOCK - margin) > 0.15
    assert heard(sounds, START + CLOCK + margin, START + 3 * CLOCK - margin) < 0.001
    assert heard(sounds, START + 3 * CLOCK + margin, START + 4 * CLOCK - margin) > 0.15


@pytest.mark.parametrize("codec", CODECS)
def test_after_a_long_hole_the_sound_is_where_it_says(codec: str) -> None:
    encoder = SoundEncoder(codec)
    first = pieces(click(1.0, 0.5, 44_100), 44_100)
    later = START + 40 * CLOCK
    units = encoded(encoder, first + pieces(click(1.0, 0.5, 44_100), 44_100, start=later))
    sounds = played(encoder, units)
    assert abs(onset(sounds) - START - CLOCK // 2) < TWO_MS
    after = [sound for sound in sounds if sound.pts > START + 20 * CLOCK]
    assert abs(onset(after) - later - CLOCK // 2) < TWO_MS
    assert len(sounds) < 120  # nothing was put between
    assert all(a.pts < b.pts for a, b in pairwise(units))


@pytest.mark.parametrize("codec", CODECS)
def test_an_overlap_is_heard_once(codec: str) -> None:
    encoder = SoundEncoder(codec)
    twice = click(1.0, 0.9, 48_000)
    units = encoded(
        encoder, pieces(twice, 48_000) + pieces(twice, 48_000, start=START + CLOCK // 2)
    )
    sounds = played(encoder, units)
    assert abs(onset(sounds) - START - round(0.9 * CLOCK)) < TWO_MS
    rest = [sound for sound in sounds if sound.pts > START + CLOCK]
    assert abs(onset(rest) - START - round(1.4 * CLOCK)) < TWO_MS
    assert sounds[-1].end_pts < START + round(1.6 * CLOCK)
    assert all(a.pts < b.pts for a, b in pairwise(units))


@pytest.mark.parametrize("codec", CODECS)
def test_rate_and_channels_change_in_the_middle(codec: str) -> None:
    encoder = SoundEncoder(codec)
    sounds = []
    shapes = [(48_000, 2), (44_100, 1), (22_050, 6), (48_000, 1), (32_000, 2)] * 2
    for number, (rate, channels) in enumerate(shapes):
        start = START + number * CLOCK // 2
        sounds += pieces(click(0.5, 0.25, rate, channels) * 1.2, rate, start=start)
    heard_sounds = played(encoder, encoded(encoder, sounds))
    for number in range(len(shapes)):
        begin = START + number * CLOCK // 2
        part = [sound for sound in heard_sounds if begin <= sound.pts < begin + CLOCK // 2]
        assert abs(onset(part) - begin - CLOCK // 4) < TWO_MS


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_no_sound_does_no_harm(codec: str) -> None:
    samples = tone(0.5, 48_000)
    samples[0, ::7] = np.nan
    samples[1, ::5] = np.inf
    samples[1, ::11] = -1e30
    encoder = SoundEncoder(codec)
    units = encoded(encoder, [Sound(samples, 48_000, START)])
    sounds = played(encoder, units)
    assert all(np.isfinite(sound.samples).all() for sound in sounds)
    assert encoder.encode(Sound(np.zeros((2, 0), np.float32), 48_000, START + CLOCK)) == []


@pytest.mark.parametrize("codec", CODECS)
def test_at_the_beginning_of_time_nothing_is_before_it(codec: str) -> None:
    encoder = SoundEncoder(codec)
    units = encoded(encoder, pieces(click(1.0, 0.5, 48_000), 48_000, start=0))
    assert 0 <= units[0].pts <= 1920
    assert abs(onset(played(encoder, units)) - CLOCK // 2) < TWO_MS


@pytest.mark.parametrize("codec", CODECS)
def test_it_goes_on_after_flush_and_close(codec: str) -> None:
    encoder = SoundEncoder(codec)
    assert encoder.flush() == []
    units = encoded(encoder, pieces(click(1.0, 0.5, 44_100), 44_100))
    units += encoded(encoder, pieces(click(1.0, 0.5, 44_100), 44_100, start=START + CLOCK))
    assert all(a.pts < b.pts for a, b in pairwise(units))
    after = [sound for sound in played(encoder, units) if sound.pts > START + CLOCK]
    assert abs(onset(after) - START - CLOCK * 3 // 2) < TWO_MS
    encoder.encode(Sound(tone(0.01, 44_100), 44_100, START + 3 * CLOCK))
    encoder.close()
    encoder.close()
    fresh = encoded(encoder, pieces(click(1.0, 0.5, 48_000), 48_000, start=START + 9 * CLOCK))
    assert abs(onset(played(encoder, fresh)) - START - 9 * CLOCK - CLOCK // 2) < TWO_MS


def test_what_it_cannot_do() -> None:
    with pytest.raises(UnsupportedSound, match="vorbis"):
        SoundEncoder("vorbis")
    with pytest.raises(UnsupportedSound, match="does not open at 1 bit/s"):
        SoundEncoder("opus", bitrate=1)


# --- its parts ------------------------------------------------------------------------------------


def test_blocks_leave_nothing_out() -> None:
    blocks = Blocks(10)
    samples = np.arange(34, dtype=np.float32).reshape(2, 17)
    out = blocks.push(samples[:, :3]) + blocks.push(samples[:, 3:3]) + blocks.push(samples[:, 3:])
    assert [block.shape for block in out] == [(2, 10)]
    out += blocks.flush()
    joined = np.concatenate(out, axis=1)
    assert np.array_equal(joined[:, :17], samples)
    assert joined.shape == (2, 20) and not joined[:, 17:].any()
    assert blocks.flush() == []


@pytest.mark.parametrize("channels", range(1, 12))
def test_mixing_down(channels: int) -> None:
    full = to_stereo(np.ones((channels, 4), np.float32))
    assert full.shape == (2, 4) and full.dtype == np.float32
    assert np.allclose(full, 1.0)
    for one in range(channels):
        alone = np.zeros((channels, 1), np.float32)
        alone[one] = 1.0
        left, right = to_stereo(alone)[:, 0]
        lfe = one == 3 and channels in (6, 7, 8)
        assert bool(left + right > 0) is not lfe
        if one < 2 <= channels <= 8:
            assert bool(left > right) is (one == 0)


@pytest.mark.parametrize("rate", [44_100, 32_000, 8_000, 96_000])
def test_resampling_keeps_every_moment_in_place(rate: int) -> None:
    resampler = Resampler(48_000)
    wave = tone(1.0, rate, hz=300)
    out = []
    for sound in pieces(wave, rate, size=777):
        out += resampler.push(sound.samples, sound.rate)
    out += resampler.flush()
    joined = np.concatenate(out, axis=1)
    assert joined.shape == (2, 48_000)
    inner = slice(2000, -2000)
    assert np.abs(joined[:, inner] - tone(1.0, 48_000, hz=300)[:, inner]).max() < 0.005
    assert resampler.flush() == []


def test_resampling_is_as_long_as_what_went_in() -> None:
    resampler = Resampler(48_000)
    out = 0
    for number in range(60):
        rate = (44_100, 8_000, 48_000)[number % 3]
        out += sum(p.shape[1] for p in resampler.push(np.zeros((2, 97), np.float32), rate))
    out += sum(p.shape[1] for p in resampler.flush())
    assert out == 20 * (round(97 * 480 / 441) + 97 * 6 + 97)
