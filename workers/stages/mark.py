"""A picture that the workflow did not make, told apart at a glance: hatched in red and white around
its edge, with a red block and a white cross in it in the lower right corner.
"""

from __future__ import annotations

import numpy as np

from workers.media.frames import RGB

_RED = (214, 24, 24)
_WHITE = (255, 255, 255)
_EDGE = 64  # the border takes one part in so many of the shorter side, at each edge
_BLOCK = 10  # the block's side


def marked(rgb: RGB, size: tuple[int, int]) -> RGB:
    """A copy of ``rgb``, uint8 [H, W, 3] (rows may be strided), with the mark in it.

    ``size``: width and height that it is to have. A picture of another size is put into the middle,
    as large as it fits, on black. It is not to be looked at closely: pixels are repeated or left
    out.
    """
    out = fitted(rgb, size)
    height, width = out.shape[:2]
    short = min(height, width)
    edge = max(1, short // _EDGE)
    for strip in (out[:edge], out[-edge:], out[edge:-edge, :edge], out[edge:-edge, -edge:]):
        _hatch(strip, 2 * edge)
    side = max(4, short // _BLOCK)
    _block(out[-edge - side : -edge, -edge - side : -edge])
    return out


def fitted(rgb: RGB, size: tuple[int, int]) -> RGB:
    """A copy of ``rgb``, uint8 [H, W, 3], in the middle of ``size``, as large as it fits."""
    width, height = size
    if rgb.shape[:2] == (height, width):
        return np.array(rgb)
    scale = min(height / rgb.shape[0], width / rgb.shape[1])
    high = min(height, max(1, round(rgb.shape[0] * scale)))
    wide = min(width, max(1, round(rgb.shape[1] * scale)))
    rows = np.arange(high) * rgb.shape[0] // high
    columns = np.arange(wide) * rgb.shape[1] // wide
    top, left = (height - high) // 2, (width - wide) // 2
    out: RGB = np.zeros((height, width, 3), np.uint8)
    out[top : top + high, left : left + wide] = rgb[rows[:, None], columns]
    return out


def _hatch(strip: RGB, period: int) -> None:
    """Diagonal stripes over all of ``strip``, in place."""
    y, x = np.ogrid[: strip.shape[0], : strip.shape[1]]
    strip[...] = _WHITE
    strip[(x + y) // period % 2 == 0] = _RED


def _block(corner: RGB) -> None:
    """Red with a white cross, in place."""
    height, width = corner.shape[:2]
    y, x = np.ogrid[:height, :width]
    down, across = (y * 2 - height + 1) / height, (x * 2 - width + 1) / width  # -1..1
    inside = np.maximum(np.abs(down), np.abs(across)) < 0.7
    cross = (np.abs(down - across) < 0.3) | (np.abs(down + across) < 0.3)
    corner[...] = _RED
    corner[inside & cross] = _WHITE
