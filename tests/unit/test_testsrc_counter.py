"""The burnt-in counter: what it survives, and that it never reads wrong."""

from __future__ import annotations

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from comfytrickle.testsrc import counter
from comfytrickle.testsrc.encoder import EncoderSpec, PictureEncoder
from comfytrickle.testsrc.pattern import Pattern
from comfytrickle.testsrc.reader import read_frame

COUNTERS = (0, 1, 2, 4711, 0x555555, 0xAAAAAA, counter.PERIOD - 1)


def picture(n: int, width: int = 320, height: int = 240) -> counter.RGB:
    return Pattern(width, height).render(n)


@given(st.integers(0, counter.PERIOD - 1), st.integers(64, 500), st.integers(64, 300))
@settings(max_examples=60, deadline=None)
def test_what_is_burnt_is_read_at_any_size(n: int, width: int, height: int) -> None:
    rgb = np.full((height, width, 3), 90, np.uint8)
    counter.burn(rgb, n)
    assert counter.read(rgb) == n
    assert counter.read(rgb[..., 1]) == n
    assert (rgb[height // counter.STRIP :] == 90).all()


@pytest.mark.parametrize("n", COUNTERS)
def test_inversion_is_seen_and_undone(n: int) -> None:
    rgb = picture(n)
    assert counter.read(255 - rgb) == n
    assert counter.is_inverted(255 - rgb)
    assert not counter.is_inverted(rgb)


@pytest.mark.parametrize("n", COUNTERS)
@pytest.mark.parametrize(
    ("gain", "offset"), [(0.2, 0.0), (0.3, 170.0), (1.6, 0.0), (1.0, 90.0), (1.0, -90.0)]
)
def test_brightness_and_contrast(n: int, gain: float, offset: float) -> None:
    rgb = np.clip(picture(n).astype(np.float32) * gain + offset, 0, 255).astype(np.uint8)
    assert counter.read(rgb) == n


@pytest.mark.parametrize("n", COUNTERS)
def test_one_channel_is_enough_of_a_tint(n: int) -> None:
    rgb = picture(n)
    rgb[..., 0] = 200
    rgb[..., 2] = 0
    assert counter.read(rgb) == n


@pytest.mark.parametrize("n", COUNTERS)
@pytest.mark.parametrize("size", [(64, 64), (100, 75), (321, 181)])
def test_scaling_down(n: int, size: tuple[int, int]) -> None:
    image = Image.fromarray(picture(n, 1280, 720)).resize(size, Image.Resampling.BICUBIC)
    assert counter.read(np.asarray(image)) == n


@pytest.mark.parametrize("n", COUNTERS)
def test_blur_and_noise(n: int) -> None:
    blurred = Image.fromarray(picture(n)).filter(ImageFilter.GaussianBlur(4))
    noise = np.random.default_rng(n).normal(0, 40, (240, 320, 3))
    noisy = np.clip(np.asarray(blurred) + noise, 0, 255).astype(np.uint8)
    assert counter.read(noisy) == n


@pytest.mark.parametrize(("width", "height"), [(64, 64), (512, 512)])
def test_low_quality_h264(width: int, height: int) -> None:
    """crf 45 at the smallest size, luma plane only, as the demo reads it."""
    encoder = PictureEncoder(EncoderSpec(width, height, Fraction(30), crf=45))
    decoder = av.CodecContext.create("h264", "r")
    pattern = Pattern(width, height)
    sent = [(i * 0x2F0B1D) % counter.PERIOD for i in range(24)]
    got = []
    for i, n in enumerate(sent):
        for unit in encoder.encode(pattern.render(n), 90_000 + i * 3000):
            for frame in decoder.decode(av.Packet(unit.data)):
                got.append(read_frame(frame))
    got += [read_frame(f) for f in decoder.decode(None)]
    assert got == sent


def test_up_to_four_wrong_blocks_are_always_detected() -> None:
    """The code is linear: it is enough that no error of 1 to 4 bits has a zero remainder."""
    remainders = [int(r) for r in counter._REMAINDERS]
    for weight in (1, 2, 3, 4):
        for bits in itertools.combinations(remainders, weight):
            remainder = 0
            for bit in bits:
                remainder ^= bit
            assert remainder != 0, bits


@given(st.integers(0, counter.PERIOD - 1), st.sets(st.integers(0, 35), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_wrong_blocks_give_none(n: int, wrong: set[int]) -> None:
    rgb = np.zeros((160, 200, 3), np.uint8)
    counter.burn(rgb, n)
    for bit in wrong:
        row, column = divmod(bit, 18)
        block = rgb[row * 10 : row * 10 + 10, (column + 1) * 10 : (column + 2) * 10]
        block[...] = 255 - block
    assert counter.read(rgb) is None


def test_a_mirrored_flat_or_random_picture_reads_none() -> None:
    rng = np.random.default_rng(7)
    for n in range(300):
        assert counter.read(picture(n)[:, ::-1]) is None
        assert counter.read(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)) is None
    for level in (0, 16, 128, 255):
        assert counter.read(np.full((64, 64, 3), level, np.uint8)) is None


def test_an_ambiguous_block_reads_none() -> None:
    rgb = picture(5, 200, 160)
    rgb[:10, 50:60] = 128
    assert counter.read(rgb) is None


@pytest.mark.parametrize("n", [-1, counter.PERIOD])
def test_out_of_range_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="counter"):
        counter.burn(np.zeros((64, 64, 3), np.uint8), n)
