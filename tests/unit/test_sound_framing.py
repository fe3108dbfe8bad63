"""The frames in the PES packets of a sound track."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sounds import Unit, coded, tone
from workers.sound.errors import BadSound, UnsupportedSound
from workers.sound.framing import CodedFrame, Splitter, split
from workers.sound.opus import opus_channels, opus_descriptors, with_control_header

CODECS = ("aac", "mp2", "mp3", "ac3", "eac3", "opus")
SAMPLES = {"aac": 1024, "mp2": 1152, "mp3": 1152, "ac3": 1536, "eac3": 1536, "opus": 960}


@cache
def units(codec: str, rate: int = 48_000, channels: int = 2) -> tuple[Unit, ...]:
    return tuple(coded(codec, tone(0.3, rate, channels), rate, start=90_000))


@pytest.mark.parametrize("codec", CODECS)
def test_each_packet_of_an_encoder_is_one_frame(codec: str) -> None:
    for unit in units(codec):
        (frame,) = split(codec, unit.data)
        assert (frame.data, frame.samples) == (unit.data, SAMPLES[codec])
        assert (frame.rate, frame.channels) == (48_000, 2)


@pytest.mark.parametrize(
    ("codec", "rate", "channels", "samples"),
    [
        ("aac", 44_100, 1, 1024),
        ("aac", 22_050, 6, 1024),
        ("mp2", 32_000, 1, 1152),
        ("mp2", 16_000, 2, 1152),
        ("mp3", 44_100, 1, 1152),
        ("mp3", 22_050, 2, 576),
        ("mp3", 8_000, 1, 576),
        ("ac3", 44_100, 1, 1536),
        ("ac3", 48_000, 6, 1536),
        ("ac3", 32_000, 5, 1536),
        ("eac3", 48_000, 6, 1536),
        ("opus", 48_000, 1, 960),
    ],
)
def test_rate_and_channels_are_read(codec: str, rate: int, channels: int, samples: int) -> None:
    payload = b"".join(unit.data for unit in units(codec, rate, channels))
    frames = split(codec, payload, opus_descriptors(channels) if codec == "opus" else b"")
    assert [frame.data for frame in frames] == [unit.data for unit in units(codec, rate, channels)]
    assert {(f.samples, f.rate, f.channels) for f in frames} == {(samples, rate, channels)}


@pytest.mark.parametrize("duration", ["2.5", "5", "10", "20", "40", "60", "80", "100", "120"])
@pytest.mark.parametrize("application", ["audio", "voip"])
def test_the_first_bytes_of_opus_tell_its_duration(duration: str, application: str) -> None:
    options = {"frame_duration": duration, "application": application, "b": "24000"}
    made = coded("opus", tone(0.3, 48_000, 1), 48_000, 0, options)
    assert len(made) > 2
    for unit in made:
        (frame,) = split("opus", unit.data)
        assert frame.samples == float(duration) * 48


def test_opus_control_header_with_everything_in_it() -> None:
    packet = bytes([0xFC]) + bytes(range(200)) * 3
    plain = with_control_header(packet)
    assert plain[:6] == b"\x7f\xe0\xff\xff\x5b\xfc"
    full = b"\x7f\xfc\xff\xff\x5b" + b"\x01\x38" + b"\x00\x10" + b"\x02ab" + packet
    first, second = split("opus", full + plain)
    assert (first.data[first.skip :], second.data[second.skip :]) == (packet, packet)
    assert (first.skip, second.skip) == (12, 5)
    assert (first.samples, first.channels) == (960, 2)


@pytest.mark.parametrize(
    ("loop", "channels"),
    [
        (b"", 2),
        (opus_descriptors(1), 1),
        (opus_descriptors(6), 6),
        (opus_descriptors(0), 2),  # dual mono
        (b"\x7f\x02\x81\x01", 2),  # another extension
    ],
)
def test_opus_channels_are_in_the_descriptors(loop: bytes, channels: int) -> None:
    assert opus_channels(loop) == channels


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_cut_off_or_no_frame_is_refused(codec: str) -> None:
    whole = units(codec)[1].data
    assert len(split(codec, whole)) == 1
    for broken in (whole[:-1], whole[:3], b"\0" + whole, whole + b"\0", b"\xff" * 40):
        with pytest.raises(BadSound):
            split(codec, broken)


@pytest.mark.parametrize(
    "header",
    [
        bytes.fromhex("fff1 7c80 1ffc 00"),  # ADTS: rate index 15
        bytes.fromhex("fff1 4c80 00fc 00"),  # ADTS: no longer than its header
    ],
)
def test_impossible_adts(header: bytes) -> None:
    with pytest.raises(BadSound):
        split("aac", header + bytes(300))


def test_codecs_whose_frames_do_not_tell_their_length_in_time() -> None:
    (latm, *_) = coded("aac_latm", tone(0.1, 48_000), 48_000, 0)
    for codec, data in (("aac_latm", latm.data), ("vorbis", b"abc"), ("", b"abc")):
        with pytest.raises(BadSound):
            split(codec, data)
    with pytest.raises(UnsupportedSound):
        Splitter("vorbis")


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_cut_into_payloads_gives_the_same_frames(codec: str, data: st.DataObject) -> None:
    stream = b"".join(unit.data for unit in units(codec))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=30).map(sorted))
    splitter = Splitter(codec)
    frames: list[CodedFrame] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        frames += [one.frame for one in splitter.feed(stream[begin:end], begin)]
    assert frames == split(codec, stream)
    assert splitter.damaged == 0


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_timestamp_is_that_of_the_first_frame_that_begins_in_the_payload(
    data: st.DataObject,
) -> None:
    stream = b"".join(unit.data for unit in units("mp2"))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=20)))
    splitter = Splitter("mp2")
    at = 0
    begins = [0, *cuts]
    for begin, end in zip(begins, [*cuts, len(stream)], strict=True):
        for one in splitter.feed(stream[begin:end], begin):
            payload = max(place for place in begins if place <= at)
            first = not any(
                payload <= earlier < at for earlier in _starts(units("mp2")) if earlier < at
            )
            assert one.pts == (payload if first else None)
            at += len(one.frame.data)
    assert at == len(stream)


def _starts(of: tuple[Unit, ...]) -> list[int]:
    return [0, *np.cumsum([len(unit.data) for unit in of]).tolist()]


@pytest.mark.parametrize("codec", CODECS)
def test_a_frame_that_lost_its_end_costs_no_other(codec: str) -> None:
    whole = units(codec)
    splitter = Splitter(codec)
    got: list[bytes] = []
    for index, unit in enumerate(whole):
        data = unit.data[: len(unit.data) // 2] if index == 3 else unit.data
        got += [one.frame.data for one in splitter.feed(data, unit.pts)]
    assert got == [unit.data for index, unit in enumerate(whole) if index != 3]
    assert splitter.damaged == 1


def test_what_stands_before_the_first_frame_is_no_damage() -> None:
    stream = b"".join(unit.data for unit in units("mp2"))
    splitter = Splitter("mp2")
    got = splitter.feed(stream[100:], 5)
    assert [one.frame.data for one in got] == [unit.data for unit in units("mp2")[1:]]
    assert splitter.damaged == 0


def test_reset_gives_up_the_unfinished_frame() -> None:
    first, second, third = (unit.data for unit in units("mp2")[:3])
    splitter = Splitter("mp2")
    assert len(splitter.feed(first + second[:50], 1)) == 1
    splitter.reset()
    (one,) = splitter.feed(third, 2)
    assert (one.frame.data, one.pts, splitter.damaged) == (third, 2, 1)


@pytest.mark.parametrize("codec", [*CODECS, "aac_latm"])
@settings(max_examples=30, deadline=None)
@given(payloads=st.lists(st.binary(max_size=80), max_size=20), data=st.data())
def test_no_bytes_make_it_raise_or_grow(
    codec: str, payloads: list[bytes], data: st.DataObject
) -> None:
    sync = {"aac": b"\xff\xf1", "opus": b"\x7f\xe0", "aac_latm": b"\x56\xe0"}.get(
        codec, b"\xff\xfd"
    )
    splitter = Splitter(codec)
    total = 0
    for payload in payloads:
        total += len(sync + payload)
        for one in splitter.feed(sync + payload):
            assert one.frame.data[: len(sync)]
            total -= len(one.frame.data)
    assert total >= 0
