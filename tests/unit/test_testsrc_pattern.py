"""The moving test pattern: deterministic, moving, and with the right digits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from comfytrickle.testsrc import counter, digits
from comfytrickle.testsrc.pattern import Pattern


def test_a_frame_depends_on_its_number_alone() -> None:
    first, second = Pattern(256, 192), Pattern(256, 192)
    for n in (3, 900, 3):
        out = np.full((192, 256, 3), 77, np.uint8)
        assert second.render(n, out) is out
        assert np.array_equal(first.render(n), out)


def test_consecutive_frames_differ_in_the_moving_part() -> None:
    pattern = Pattern(256, 256)
    stage = slice(256 // 8, 256 * 3 // 4)
    for n in range(200):
        assert not np.array_equal(pattern.render(n)[stage], pattern.render(n + 1)[stage])


def test_the_counter_wraps_at_its_period() -> None:
    pattern = Pattern(128, 128)
    assert counter.read(pattern.render(counter.PERIOD + 12)) == 12


@pytest.mark.parametrize(
    ("fps", "n", "clock"),
    [
        (30, 0, "00:00:00.000"),
        (30, 100, "00:00:03.333"),
        (Fraction(30000, 1001), 30, "00:00:01.001"),
        (25, 25 * 3723, "01:02:03.000"),
    ],
)
def test_the_digits_say_number_and_clock(fps: Fraction | int, n: int, clock: str) -> None:
    assert _text(Pattern(512, 512, fps).render(n)) == [f"{n:06d}", clock]


@pytest.mark.parametrize(
    ("width", "height"), [(16, 16), (17, 33), (64, 64), (1920, 1080), (90, 400)]
)
def test_any_size_can_be_drawn(width: int, height: int) -> None:
    pattern = Pattern(width, height)
    for n in range(0, 400, 37):
        assert pattern.render(n).shape == (height, width, 3)


@pytest.mark.parametrize(("width", "height", "fps"), [(8, 64, 30), (64, 8, 30), (64, 64, 0)])
def test_what_cannot_be_drawn_is_refused(width: int, height: int, fps: int) -> None:
    with pytest.raises(ValueError):
        Pattern(width, height, fps)


def _text(rgb: counter.RGB) -> list[str]:
    """Read both lines of digits of a 512 x 512 picture by comparing with each glyph."""
    scale, white = 6, rgb[..., 0] > 128
    known = {
        glyph[::scale, ::scale, 0].astype(bool).tobytes(): char
        for char, glyph in digits.glyphs(scale, (255, 0, 0), (0, 0, 0)).items()
    }
    lines = []
    for y, length in ((384 + 8, 6), (448, 12)):
        left = (512 - 6 * scale * length) // 2
        cells = [white[y : y + 42, left + i * 36 : left + (i + 1) * 36] for i in range(length)]
        lines.append("".join(known[cell[::scale, ::scale].tobytes()] for cell in cells))
    return lines
