"""The moving test pattern: frame ``n`` is a pure function of ``n``.

From top to bottom: the machine-readable counter (:mod:`comfytrickle.testsrc.counter`), colour
bars, a grey ramp, the frame number and the clock. A ball bounces over bars and ramp. Everything
that does not move is drawn once.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from comfytrickle.testsrc import counter, digits

RGB = npt.NDArray[np.uint8]

# 75 % bars in descending luminance.
_BARS = (
    (191, 191, 191),
    (191, 191, 0),
    (0, 191, 191),
    (0, 191, 0),
    (191, 0, 191),
    (191, 0, 0),
    (0, 0, 191),
)
_PAPER = (16, 24, 48)
_INK = (240, 240, 240)
_BALL = (255, 140, 0)


class Pattern:
    """Draws frames of one size.

    ``width`` and ``height`` in pixels, 16 and up; ``fps`` only sets the clock in the picture.
    """

    def __init__(self, width: int, height: int, fps: Fraction | int | float = 30) -> None:
        if width < 16 or height < 16:
            raise ValueError(f"a test pattern needs at least 16x16 pixels, not {width}x{height}")
        if fps <= 0:
            raise ValueError(f"fps must be greater than 0, not {fps}")
        self.width = width
        self.height = height
        self.fps = Fraction(fps)
        self._stage = (height // counter.STRIP, height * 3 // 4)  # where the ball moves
        self._background = self._draw_background()
        self._scale = max(1, min(height // 8 // (digits.ROWS + 2), width // (13 * digits.COLUMNS)))
        self._glyphs = digits.glyphs(self._scale, _INK, _PAPER)
        self._diameter = max(4, min(width, height) // 6)
        self._ball_mask = self._draw_ball()

    def render(self, n: int, out: RGB | None = None, *, flash: bool = False) -> RGB:
        """Frame ``n`` (0 and up; the counter wraps at counter.PERIOD) as uint8 [H, W, 3].

        Drawn into ``out`` when given. ``flash``: bars and ramp are white.
        """
        if out is None:
            out = np.empty_like(self._background)
        np.copyto(out, self._background)
        if flash:
            top, bottom = self._stage
            out[top:bottom] = 255
        self._ball(out, n)
        eighth = self.height // 8
        self._text(out, f"{n:06d}", self.height * 6 // 8 + eighth // 8)
        self._text(out, self._clock(n), self.height * 7 // 8)
        counter.burn(out, n % counter.PERIOD)
        return out

    def _clock(self, n: int) -> str:
        ms = int(n * 1000 / self.fps)
        seconds, ms = divmod(ms, 1000)
        minutes, seconds = divmod(seconds, 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{ms:03d}"

    def _draw_background(self) -> RGB:
        top, bottom = self._stage
        ramp = self.height * 5 // 8
        image = np.empty((self.height, self.width, 3), np.uint8)
        x = np.arange(self.width)
        image[top:ramp] = np.array(_BARS, np.uint8)[x * len(_BARS) // self.width]
        image[ramp:bottom] = (x * 255 // (self.width - 1)).astype(np.uint8)[:, None]
        image[bottom:] = _PAPER
        return image

    def _draw_ball(self) -> npt.NDArray[np.bool_]:
        c = (np.arange(self._diameter) + 0.5) / self._diameter * 2 - 1
        return np.asarray(c[:, None] ** 2 + c[None, :] ** 2 <= 1)

    def _ball(self, out: RGB, n: int) -> None:
        top, bottom = self._stage
        d = min(self._diameter, bottom - top)
        # Speeds relative to the size, so that a scaled pattern moves alike.
        x = _bounce(n * max(1, self.width // 120), self.width - d)
        y = top + _bounce(n * max(1, self.height // 160), bottom - top - d)
        out[y : y + d, x : x + d][self._ball_mask[:d, :d]] = _BALL

    def _text(self, out: RGB, text: str, y: int) -> None:
        step = digits.COLUMNS * self._scale
        x = max(0, (self.width - step * len(text)) // 2)
        for char in text:
            if x + step > self.width:
                return  # too small a picture for the whole line
            glyph = self._glyphs[char]
            out[y : y + glyph.shape[0], x : x + step] = glyph[: self.height - y]
            x += step


def _bounce(distance: int, length: int) -> int:
    """A position on 0..length that runs to and fro."""
    if length <= 0:
        return 0
    phase = distance % (2 * length)
    return phase if phase <= length else 2 * length - phase
