"""What comes in comes out: the same Y, U and V, and the same tags."""

from __future__ import annotations

import av
import numpy as np
import pytest

from comfytrickle.messages import EncodeConfig
from comfytrickle.mpegts.units import AccessUnit
from tests.support.pictures import BARS, bar_means, bars, encode_clip, yuv_of
from workers.media import colour as colours
from workers.media.convert import FromRgb, ToRgb, interpolation
from workers.media.decode import Decoder
from workers.media.encode import Encoder
from workers.media.frames import Colour, Frame

CRISP = EncodeConfig(encoder="libx264", crf=8.0)


def plain_decode(data: bytes, codec: str = "h264") -> av.VideoFrame:
    """Through libav alone, so that nothing of ours can hide its own error."""
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = 1
    frames = context.decode(av.Packet(data)) + context.decode(None)
    assert len(frames) == 1
    return frames[0]


def tags(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    return (
        int(frame.colorspace),
        int(frame.color_primaries),
        int(frame.color_trc),
        int(frame.color_range),
    )


def through(unit: AccessUnit, size: tuple[int, int] | None = None) -> tuple[Frame, av.VideoFrame]:
    """One keyframe through our decoder and encoder; what the engine saw, and what a viewer sees."""
    decoder, encoder = Decoder("h264", size), Encoder(CRISP)
    frames = decoder.decode(unit) + decoder.flush()
    assert len(frames) == 1
    packets = encoder.encode(frames[0])
    assert len(packets) == 1
    decoder.close()
    encoder.close()
    return frames[0], plain_decode(packets[0].data)


def source(
    matrix: int,
    full: bool,
    tagged: bool,
    *,
    height: int = 240,
    tag: tuple[int, int, int] | None = None,
) -> AccessUnit:
    frame = bars(320 if height < 720 else 640, height, matrix, full)
    frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = 2, 2, 2, 0
    if tagged:
        frame.colorspace, frame.color_primaries, frame.color_trc = tag or (matrix, matrix, matrix)
        frame.color_range = colours.FULL if full else colours.LIMITED
    return encode_clip([frame], options={"preset": "ultrafast", "tune": "zerolatency", "crf": "4"})[
        0
    ]


@pytest.mark.parametrize(
    ("matrix", "full", "tagged", "height"),
    [
        (6, False, False, 240),  # untagged SD is BT.601
        (6, False, True, 240),
        (5, False, True, 240),
        (6, True, True, 240),
        (1, False, True, 240),  # BT.709 below 720 lines, because it says so
        (1, True, True, 240),
        (1, False, False, 720),  # untagged HD is BT.709
        (6, False, True, 720),
        (9, False, True, 240),
        (7, False, True, 240),
        (4, False, True, 240),
    ],
)
def test_bars_keep_their_values_and_tags(
    matrix: int, full: bool, tagged: bool, height: int
) -> None:
    tag = (9, 9, 14) if matrix == 9 else None
    unit = source(matrix, full, tagged, height=height, tag=tag)
    before = plain_decode(unit.data)
    seen, after = through(unit)

    assert tags(after) == tags(before)
    assert np.abs(bar_means(after) - bar_means(before)).max() <= 3
    step = seen.width // len(BARS)
    for number, rgb in enumerate(BARS):  # and the engine saw the colours that were meant
        middle = seen.rgb[20:-20, number * step + step // 4 : (number + 1) * step - step // 4]
        assert np.abs(middle.reshape(-1, 3).mean(0) - rgb).max() <= 4, rgb


def test_full_range_alone_is_honoured_and_repeated() -> None:
    frame = bars(320, 240, 6, True)
    frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = 2, 2, 2, 2
    unit = encode_clip([frame])[0]
    before = plain_decode(unit.data)
    assert tags(before) == (2, 2, 2, 2)
    seen, after = through(unit)
    assert seen.colour.full_range
    assert tags(after) == tags(before)
    assert np.abs(bar_means(after) - bar_means(before)).max() <= 3


def test_constant_luminance_keeps_its_tag_and_values() -> None:
    unit = source(9, False, True, tag=(10, 9, 14))
    before = plain_decode(unit.data)
    _, after = through(unit)
    assert tags(after) == tags(before) == (10, 9, 14, 1)
    assert np.abs(bar_means(after) - bar_means(before)).max() <= 3


def test_a_matrix_nobody_converts_leaves_as_what_was_used() -> None:
    unit = source(6, False, True, tag=(8, 1, 1))  # says YCgCo
    assert tags(plain_decode(unit.data))[0] == 8
    seen, after = through(unit)
    assert seen.colour.matrix == colours.SMPTE170M
    assert tags(after) == (6, 1, 1, 1)
    back, _ = ToRgb().convert(after, seen.colour, (320, 240))
    assert np.abs(back.astype(int) - seen.rgb).mean() < 3  # the viewer sees what the engine saw


def test_a_source_coded_as_rgb_leaves_as_tagged_yuv() -> None:
    rgb = np.empty((240, 320, 3), np.uint8)
    rgb[:] = (200, 100, 50)
    frame = av.VideoFrame.from_ndarray(rgb)
    frame.colorspace = 0
    unit = encode_clip([frame], "libx264rgb", {"preset": "ultrafast", "qp": "0"})[0]
    assert plain_decode(unit.data).format.name == "gbrp"
    seen, after = through(unit)
    assert (seen.rgb == (200, 100, 50)).all()
    assert tags(after)[0] == 6 and tags(after)[3] == 1
    assert np.abs(bar_means(after)[5] - yuv_of((200, 100, 50), 6, False)).max() <= 3


def test_untagged_output_follows_its_own_height() -> None:
    hd = colours.colour_from_tags(2, 2, 2, 0, height=1080, pix_fmt="yuv420p")
    assert (hd.matrix, hd.tag_matrix) == (colours.BT709, 2)
    out = colours.for_output(hd, 512)
    assert (out.matrix, out.tag_matrix) == (colours.SMPTE170M, 2)
    tagged = colours.colour_from_tags(1, 1, 1, 1, height=1080, pix_fmt="yuv420p")
    assert colours.for_output(tagged, 512) is tagged


def test_untagged_hd_scaled_to_sd_still_looks_alike() -> None:
    unit = source(1, False, False, height=720)
    seen, after = through(unit, size=(320, 240))
    as_players_do = Colour(matrix=colours.SMPTE170M, full_range=False)
    shown, _ = ToRgb().convert(after, as_players_do, (320, 240))
    assert tags(after) == (2, 2, 2, 0)
    assert np.abs(shown.astype(int) - seen.rgb).mean() < 3


@pytest.mark.parametrize("value", [0, 3, 8, 11, 12, 13, 14, 15, 99, -1])
def test_odd_matrices_are_replaced_and_said(value: int) -> None:
    colour = colours.colour_from_tags(value, 1, 1, 0, height=480, pix_fmt="yuv420p")
    assert (colour.matrix, colour.tag_matrix, colour.tag_range) == (6, 6, 1)
    assert not colour.full_range


def test_reserved_primaries_and_transfers_become_unspecified() -> None:
    colour = colours.colour_from_tags(1, 3, 0, 7, height=480, pix_fmt="yuv420p")
    assert (colour.tag_primaries, colour.tag_transfer, colour.tag_range) == (2, 2, 0)


def test_yuvj_is_full_range_whatever_the_tag_says() -> None:
    assert colours.colour_from_tags(2, 2, 2, 0, height=480, pix_fmt="yuvj420p").full_range
    assert not colours.colour_from_tags(0, 1, 13, 2, height=480, pix_fmt="gbrp").full_range


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
def test_chroma_edges_survive_the_way_to_rgb_and_back(pix_fmt: str) -> None:
    frame = bars(320, 64, 6, False, pix_fmt)
    colour = Colour(matrix=6, full_range=False)
    rgb, owner = ToRgb().convert(frame, colour, (320, 64))
    back = FromRgb().convert(rgb, colour)
    assert owner.format.name == "rgb24"
    reference = bars(320, 64, 6, False)
    for index in range(3):
        error = np.abs(
            np.frombuffer(memoryview(back.planes[index]), np.uint8).astype(int)
            - np.frombuffer(memoryview(reference.planes[index]), np.uint8)
        )
        assert error.max() <= 2


def test_interpolation_by_direction() -> None:
    assert interpolation((640, 480), (640, 480)).name == "AREA"
    assert interpolation((640, 480), (320, 240)).name == "AREA"
    assert interpolation((640, 480), (1280, 960)).name == "BICUBIC"
    assert interpolation((640, 480), (512, 512)).name == "BICUBIC"
