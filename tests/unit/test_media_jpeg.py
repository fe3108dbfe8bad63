"""JPEG out and in, beside Pillow, which has nothing to do with libav."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from comfytrickle.testsrc import counter
from tests.support.frame_sockets import jpeg, picture, pixels
from workers.media.frames import RGB
from workers.media.jpeg import BadJpeg, JpegDecoder, JpegEncoder, fitted, quantiser

PLENTY = 1 << 24


def encode(rgb: RGB, size: tuple[int, int] | None = None, quality: int = 90) -> bytes:
    return JpegEncoder().encode(rgb, size or (rgb.shape[1], rgb.shape[0]), quality, PLENTY)


@pytest.mark.parametrize("quality", [100, 90, 50, 1])
def test_the_counter_survives_every_quality(quality: int) -> None:
    encoder = JpegEncoder()
    for n in (0, 1, 77_777):
        data = encoder.encode(picture(n), (256, 192), quality, PLENTY)
        assert counter.read(pixels(data)) == n
        assert counter.read(pixels(jpeg(picture(n), max(1, quality // 2)))) == n
        assert counter.read(JpegDecoder().decode(data, None)[0]) == n


def flat(colour: tuple[int, int, int]) -> RGB:
    return np.full((64, 96, 3), colour, np.uint8)


COLOURS = [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (0, 255, 0), (0, 0, 255)]


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_are_those_that_others_see(colour: tuple[int, int, int]) -> None:
    seen = pixels(encode(flat(colour), quality=100)).astype(int)
    assert np.abs(seen - colour).max() <= 3, "JFIF: BT.601, full range, at any size"
    ours, owner = JpegDecoder().decode(jpeg(flat(colour), 95), None)
    assert ours.shape == (64, 96, 3) and owner is not None
    assert np.abs(ours.astype(int) - colour).max() <= 4


def test_large_pictures_have_the_same_colours() -> None:
    large = np.full((720, 1280, 3), (20, 200, 60), np.uint8)
    assert np.abs(pixels(encode(large)).astype(int) - (20, 200, 60)).max() <= 4
    ours, _ = JpegDecoder().decode(jpeg(large, 95), None)
    assert np.abs(ours.astype(int) - (20, 200, 60)).max() <= 4


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"optimize": True}],
    ids=str,
)
def test_what_cameras_and_programs_send(options: dict[str, object]) -> None:
    rgb, _ = JpegDecoder().decode(jpeg(picture(9), **options), (128, 96))
    assert rgb.shape == (96, 128, 3) and counter.read(rgb) == 9


def test_a_grey_one() -> None:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture(5)).convert("L").save(out, "JPEG", quality=90)
    rgb, _ = JpegDecoder().decode(out.getvalue(), None)
    assert counter.read(rgb) == 5 and np.ptp(rgb.astype(int), axis=2).max() <= 2


def test_damage_is_told_and_the_next_one_is_whole() -> None:
    decoder, good = JpegDecoder(), jpeg(picture(3))
    for bad in (b"", b"hello", good[:40], good[: len(good) // 2], good[:-300] + good[:300]):
        with pytest.raises(BadJpeg):
            decoder.decode(bad, None)
        assert counter.read(decoder.decode(good, None)[0]) == 3


def test_an_odd_size_loses_its_edge() -> None:
    assert JpegDecoder().decode(jpeg(picture(1, 131, 99)), None)[0].shape == (98, 130, 3)


def test_a_size_and_a_quality_after_another() -> None:
    encoder = JpegEncoder()
    lengths = {}
    for size, quality in [((256, 192), 90), ((128, 96), 90), ((256, 192), 10), ((256, 192), 90)]:
        data = encoder.encode(picture(4), size, quality, PLENTY)
        assert pixels(data).shape == (size[1], size[0], 3)
        lengths.setdefault((size, quality), set()).add(len(data))
    assert all(len(sizes) == 1 for sizes in lengths.values()), "nothing of another one stays"
    assert min(lengths[(256, 192), 90]) > min(lengths[(256, 192), 10])


def test_padded_and_reversed_rows() -> None:
    wide = np.ascontiguousarray(np.repeat(picture(6), 2, axis=1))
    padded = wide[:, : wide.shape[1] // 2]
    assert np.array_equal(pixels(encode(padded)), pixels(encode(padded.copy())))
    turned = picture(6)[::-1]
    assert np.array_equal(pixels(encode(turned)), pixels(encode(turned.copy())))


def test_what_has_no_room_is_encoded_more_coarsely() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (128, 128, 3), np.uint8)
    encoder = JpegEncoder()
    best = len(encoder.encode(noise, (128, 128), 100, PLENTY))
    less = encoder.encode(noise, (128, 128), 100, best // 2)
    assert len(less) <= best // 2 and pixels(less).shape == noise.shape
    with pytest.raises(BadJpeg, match="128 x 128"):
        encoder.encode(noise, (128, 128), 100, 500)


def test_the_numbers() -> None:
    assert (quantiser(100), quantiser(1)) == (2, 31)
    assert fitted((640, 480), None) == (640, 480)
    assert fitted((640, 480), 320) == (320, 240)
    assert fitted((640, 480), 1000) == (640, 480)
    assert fitted((639, 479), None) == (638, 478)
    assert fitted((4096, 16), 16) == (16, 2)


def test_it_starts_no_thread() -> None:
    before = threading.active_count()
    data = encode(picture(1))
    JpegDecoder().decode(data, None)
    assert threading.active_count() == before
