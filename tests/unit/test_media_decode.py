"""The decoder: every unit becomes a whole picture in order, or is counted."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import av
import numpy as np
import pytest

from comfytrickle.mpegts.nal import has_parameter_sets, is_keyframe, nal_type, nal_units
from comfytrickle.mpegts.sps import sps_facts
from comfytrickle.mpegts.units import AccessUnit
from tests.support.pictures import (
    encode_clip,
    number_strip,
    numbered_clip,
    plane,
    read_number,
)
from workers.media.decode import NO_PTS, Decoder, UnsupportedVideo
from workers.media.frames import Frame

B_FRAMES = {"preset": "medium", "bf": "3", "b_strategy": "0", "rc-lookahead": "5", "crf": "18"}


def run(decoder: Decoder, units: Iterable[AccessUnit]) -> list[Frame]:
    frames = [frame for unit in units for frame in decoder.decode(unit)]
    return frames + decoder.flush()


def numbers(frames: list[Frame]) -> list[int]:
    return [read_number(frame.rgb) for frame in frames]


def accounted(decoder: Decoder, units: list[AccessUnit], frames: list[Frame]) -> bool:
    return len(frames) + sum(decoder.dropped.values()) == len(units)


def keys(units: list[AccessUnit]) -> list[int]:
    codec = units[0].stream.codec or ""
    return [n for n, unit in enumerate(units) if is_keyframe(codec, unit.data)]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_without_reordering_each_unit_gives_its_frame_at_once(codec: str) -> None:
    units = numbered_clip(40, codec=codec, gop=15, first_pts=5000)
    decoder = Decoder(units[0].stream.codec or "", None)
    for number, unit in enumerate(units):
        frames = decoder.decode(unit)
        assert len(frames) == 1
        assert read_number(frames[0].rgb) == number
        assert frames[0].pts == unit.pts == 5000 + number * 3000
        assert frames[0].arrived == unit.arrived
        assert frames[0].decoded > 0
    assert decoder.flush() == []
    assert decoder.size == (128, 128)
    assert decoder.dropped == {"damaged": 0, "undecodable": 0}
    decoder.close()


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", B_FRAMES),
        ("libx265", {"preset": "fast", "x265-params": "bframes=3:keyint=20"}),
        ("mpeg2video", {"b": "4000000", "bf": "2"}),
    ],
)
def test_b_frames_come_in_order_complete_and_with_their_own_times(
    codec: str, options: dict[str, str]
) -> None:
    units = numbered_clip(48, codec=codec, options=options, gop=20)
    assert [u.pts for u in units] != sorted(u.pts or 0 for u in units)  # the clip does reorder
    decoder = Decoder(units[0].stream.codec or "", None)
    frames = run(decoder, units)
    assert numbers(frames) == list(range(48))
    assert [f.pts for f in frames] == [n * 3000 for n in range(48)]
    arrived = {unit.pts: unit.arrived for unit in units}
    assert [f.arrived for f in frames] == [arrived[f.pts] for f in frames]
    assert sum(decoder.dropped.values()) == 0
    decoder.close()


def test_timestamps_pass_as_they_are() -> None:
    """At the wrap, absent, twice the same: nothing is lost or mixed up."""
    units = numbered_clip(6, first_pts=(1 << 33) - 6000)
    assert [u.pts for u in units] == [(1 << 33) - 6000, (1 << 33) - 3000, 0, 3000, 6000, 9000]
    units[3].pts = None
    units[5].pts = 6000
    frames = run(Decoder("h264", None), units)
    assert [f.pts for f in frames] == [(1 << 33) - 6000, (1 << 33) - 3000, 0, NO_PTS, 6000, 6000]
    assert [f.arrived for f in frames] == [u.arrived for u in units]
    assert numbers(frames) == list(range(6))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_start_in_the_middle_waits_for_a_keyframe(codec: str) -> None:
    units = numbered_clip(40, codec=codec, gop=15)[4:]
    decoder = Decoder(units[0].stream.codec or "", None)
    frames = run(decoder, units)
    assert numbers(frames) == list(range(15, 40))
    assert decoder.dropped == {"damaged": 0, "undecodable": 11}
    decoder.close()


def test_leading_pictures_of_an_open_gop_are_counted() -> None:
    options = {"preset": "fast", "x265-params": "bframes=3:keyint=12:min-keyint=12:open-gop=1"}
    units = numbered_clip(48, codec="libx265", options=options, gop=12)
    cra = keys(units)[1]
    assert (units[cra + 1].pts or 0) < (units[cra].pts or 0)  # it has leading pictures
    tail = units[cra:]
    decoder = Decoder("hevc", None)
    frames = run(decoder, tail)
    assert accounted(decoder, tail, frames)
    assert decoder.dropped["undecodable"] > 0
    first = (units[cra].pts or 0) // 3000
    assert numbers(frames) == list(range(first, 48))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("at", [5, 15])
def test_a_damaged_unit_hides_everything_until_the_next_keyframe(codec: str, at: int) -> None:
    units = numbered_clip(45, codec=codec, gop=15)
    units[at] = replace(units[at], damaged=True)
    decoder = Decoder(units[0].stream.codec or "", None)
    frames = run(decoder, units)
    resume = 15 if at == 5 else 30
    assert numbers(frames) == [*range(at), *range(resume, 45)]
    assert decoder.dropped == {"damaged": 1, "undecodable": resume - at - 1}
    decoder.close()


def test_what_was_decoded_before_the_damage_still_comes_out() -> None:
    units = numbered_clip(48, options=B_FRAMES, gop=16)
    second, third = keys(units)[1:3]
    at = second + 6
    units[at] = replace(units[at], damaged=True)
    decoder = Decoder("h264", None)
    frames = run(decoder, units)
    assert accounted(decoder, units, frames)
    before = sorted((u.pts or 0) // 3000 for u in units[:at])
    after = sorted((u.pts or 0) // 3000 for u in units[third:])
    assert numbers(frames) == before + after
    assert [f.pts for f in frames] == [n * 3000 for n in before + after]


def test_an_empty_unit_is_damage_and_not_the_end() -> None:
    units = numbered_clip(30, gop=10)
    units[4] = replace(units[4], data=b"")
    decoder = Decoder("h264", None)
    frames = run(decoder, units)
    assert numbers(frames) == [*range(4), *range(10, 30)]
    assert decoder.dropped == {"damaged": 1, "undecodable": 5}


def test_truncated_pictures_never_come_out() -> None:
    """Damage that nobody flagged, but the decoder notices: it conceals, we do not show."""
    clean = numbered_clip(30, gop=10, width=256, height=256)
    rng = random.Random(7)
    for _ in range(8):
        units = list(clean)
        at = rng.randrange(30)
        units[at] = replace(units[at], data=units[at].data[: len(units[at].data) * 2 // 3])
        decoder = Decoder("h264", None)
        frames = run(decoder, units)
        resume = (at // 10 + 1) * 10
        assert numbers(frames) == [*range(at), *range(min(resume, 30), 30)]
        assert decoder.dropped["damaged"] == 1
        assert accounted(decoder, units, frames)
        decoder.close()


@pytest.mark.parametrize("sets_once", [False, True])
def test_what_a_decoder_met_never_shows_in_later_pictures(sets_once: bool) -> None:
    """Bit for bit. With CAVLC a decoder that is only flushed spoils an IDR after one error in ten;
    one that is replaced has to be told the parameter sets again."""
    options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "8"}
    clean = numbered_clip(30, 320, 192, options=options, gop=10)
    if sets_once:
        clean = [clean[0], *(replace(u, data=_without_sets(u.data)) for u in clean[1:])]
        assert [has_parameter_sets("h264", u.data) for u in clean] == [True] + [False] * 29
    wanted = [frame.rgb.copy() for frame in run(Decoder("h264", None), clean)]
    rng = random.Random(5)
    noticed = 0
    for at in (3, 10, 14) * 15:
        data = bytearray(clean[at].data)
        place = rng.randrange(60, len(data) - 100)
        data[place : place + 100] = rng.randbytes(100)
        units = [*clean[:at], replace(clean[at], data=bytes(data)), *clean[at + 1 :]]
        decoder = Decoder("h264", None)
        frames = run(decoder, units)
        assert accounted(decoder, units, frames)
        noticed += decoder.dropped["damaged"]
        resume = (at // 10 + 1) * 10
        later = [frame for frame in frames if (frame.pts or 0) >= resume * 3000]
        assert len(later) == 30 - resume
        for number, frame in enumerate(later, resume):
            assert np.array_equal(frame.rgb, wanted[number]), (at, place, number)
    assert noticed > 30


def _without_sets(data: bytes) -> bytes:
    return b"".join(
        b"\0\0\1" + data[start:end]
        for start, end in nal_units(data)
        if nal_type("h264", data[start]) not in (7, 8)
    )


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_noise_neither_raises_nor_stops_later_video(codec: str) -> None:
    options = {"b": "4000000", "bf": "0"} if codec == "mpeg2video" else None
    units = numbered_clip(30, codec=codec, options=options, gop=10)
    rng = random.Random(11)
    decoder = Decoder(units[0].stream.codec or "", None)
    fed = []
    for unit in units:
        if unit in (units[3], units[12], units[20]):
            fed.append(replace(unit, data=rng.randbytes(900)))
            fed.append(replace(unit, data=b"\x00\x00\x01" + rng.randbytes(300), random_access=True))
        fed.append(unit)
    fed += numbered_clip(20, codec=codec, options=options, gop=10)
    frames = run(decoder, fed)
    assert accounted(decoder, fed, frames)
    assert numbers(frames)[-10:] == list(range(10, 20))


def test_random_access_without_an_idr_starts_too() -> None:
    """Intra refresh: no keyframe ever comes again, only recovery points."""
    options = {"preset": "ultrafast", "tune": "zerolatency", "intra-refresh": "1", "crf": "20"}
    units = numbered_clip(60, options=options, gop=10)
    assert keys(units)[1:], "each refresh begins with a recovery point and an SPS"
    start = keys(units)[1]
    tail = units[start:]
    decoder = Decoder("h264", None)
    frames = run(decoder, tail)
    assert frames and accounted(decoder, tail, frames)
    assert numbers(frames)[-1] == 59
    assert numbers(frames) == list(range(60 - len(frames), 60))


@pytest.mark.parametrize("first", [True, False])
def test_a_change_of_reordering_keeps_order_and_count(first: bool) -> None:
    calm = numbered_clip(20, gop=10)
    wild = numbered_clip(20, options=B_FRAMES, gop=10)
    facts = [sps_facts("h264", clip[0].data) for clip in (calm, wild)]
    assert facts[0] and facts[1] and facts[0].max_reorder == 0 and facts[1].max_reorder != 0
    units = calm + wild if first else wild + calm
    decoder = Decoder("h264", None)
    frames = run(decoder, units)
    assert numbers(frames) == [*range(20), *range(20)]
    assert sum(decoder.dropped.values()) == 0


def test_the_first_size_is_kept_when_the_source_changes() -> None:
    units = numbered_clip(5, 128, 96) + numbered_clip(5, 256, 192) + numbered_clip(5, 64, 64)
    decoder = Decoder("h264", None)
    frames = run(decoder, units)
    assert {f.rgb.shape for f in frames} == {(96, 128, 3)}
    assert numbers(frames)[:10] == [*range(5), *range(5)]
    assert len(frames) == 15
    decoder.resize((64, 48))
    assert {f.rgb.shape for f in run(decoder, units)} == {(48, 64, 3)}
    decoder.resize(None)
    assert {f.rgb.shape for f in run(decoder, units[5:])} == {(192, 256, 3)}
    assert decoder.size == (256, 192)


def test_a_given_size_rescales() -> None:
    units = numbered_clip(3, 256, 192)
    for size in ((128, 96), (512, 384), (512, 512), (130, 50)):
        frames = run(Decoder("h264", size), units)
        assert {f.rgb.shape for f in frames} == {(size[1], size[0], 3)}
        assert numbers(frames) == [0, 1, 2]


def test_an_odd_source_is_cropped_not_resampled() -> None:
    frame = av.VideoFrame.from_ndarray(number_strip(5, 129, 97)).reformat(
        format="yuv444p", threads=1
    )
    unit = encode_clip([frame], options={"preset": "ultrafast", "tune": "zerolatency", "crf": "2"})[
        0
    ]
    decoder = Decoder("h264", None)
    [got] = decoder.decode(unit) + decoder.flush()
    assert decoder.size == (128, 96) == (got.width, got.height)
    expected = number_strip(5, 129, 97)[:96, :128].astype(int)
    assert np.abs(got.rgb - expected).mean() < 4


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le"]
)
def test_sample_formats_show_the_same_picture(pix_fmt: str) -> None:
    units = numbered_clip(3, options={"preset": "ultrafast", "crf": "6"}, pix_fmt=pix_fmt)
    frames = run(Decoder("h264", None), units)
    assert numbers(frames) == [0, 1, 2]
    wanted = number_strip(2, 128, 128).astype(int)
    assert frames[2].colour.full_range == (pix_fmt == "yuvj420p")
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs(frames[2].rgb @ luma - wanted @ luma).mean() < 4


def test_monochrome_has_the_range_of_video() -> None:
    frame = av.VideoFrame(64, 64, "gray")
    samples = plane(frame, 0)
    samples[:, :32], samples[:, 32:] = 16, 235
    [got] = run(Decoder("h264", None), encode_clip([frame]))
    assert got.rgb[8, 8].tolist() == [0, 0, 0] and got.rgb[8, 56].tolist() == [255, 255, 255]


def test_a_change_of_sample_format_in_mid_stream() -> None:
    units = [
        unit
        for pix_fmt in ("yuv420p", "yuv444p", "yuv420p10le", "yuvj420p", "yuv420p")
        for unit in numbered_clip(4, pix_fmt=pix_fmt)
    ]
    decoder = Decoder("h264", None)
    assert numbers(run(decoder, units)) == [0, 1, 2, 3] * 5
    assert sum(decoder.dropped.values()) == 0


def test_frames_are_views_that_stay_valid() -> None:
    units = numbered_clip(20, 132, 100)  # rows of 396 bytes are padded
    decoder = Decoder("h264", None)
    frames = run(decoder, units)
    decoder.close()
    del decoder
    for frame in frames:
        assert frame.rgb.base is not None and frame.owner is not None
        assert frame.rgb.strides[1:] == (3, 1) and frame.rgb.strides[0] >= 396
    assert numbers(frames) == list(range(20))  # the first is intact after the last was made
    assert len({frame.rgb.ctypes.data for frame in frames}) == 20


def test_closing_counts_what_is_left_and_is_idempotent() -> None:
    units = numbered_clip(12, options=B_FRAMES)
    decoder = Decoder("h264", None)
    frames = [frame for unit in units for frame in decoder.decode(unit)]
    assert len(frames) < 12
    decoder.close()
    decoder.close()
    assert accounted(decoder, units, frames)
    assert decoder.flush() == []


def test_unknown_codecs_are_refused() -> None:
    with pytest.raises(UnsupportedVideo, match="vp99"):
        Decoder("vp99", None)
    with pytest.raises(UnsupportedVideo, match="aac"):
        Decoder("aac", None)
