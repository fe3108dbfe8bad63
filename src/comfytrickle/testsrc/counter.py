"""A frame counter that a machine can read back from the picture.

The strip lies over the full width of the frame's top eighth: 2 rows of 20 blocks, black or white.

    column      0     1 .. 18           19
    row 0     white   bits 35 .. 18    black
    row 1     black   bits 17 .. 0     black

The first and last column are references: they give the two levels (so brightness, contrast and
range may change), the polarity (so the picture may be inverted), and, being asymmetric, they show
a mirrored picture. The 36 bits are 24 of the counter and 12 of a CRC; its polynomial has Hamming
distance 5 at this length, so up to four wrong blocks are always detected. What cannot be read for
certain is None, never a wrong number.

All positions are relative to the frame's size: scaling does not matter as long as a block stays
about 3 pixels wide and high. Pictures of MIN_WIDTH x MIN_HEIGHT and up survive H.264 at low
quality.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]
_Index = npt.NDArray[np.intp]

PERIOD = 1 << 24  # counters are 0 .. PERIOD - 1
MIN_WIDTH = 64
MIN_HEIGHT = 64
STRIP = 8  # the strip is 1/STRIP of the height

_COLUMNS = 20
_ROWS = 2
_BITS = 36
_CRC_BITS = 12
_CRC_POLY = 0xB29
_CRC_INIT = 0x5A5  # so that an all-black strip is not a valid counter
_BLACK, _WHITE = 16, 240  # away from the ends, so that ringing is not clipped to one side
_MIN_CONTRAST = 20.0  # levels between black and white; below, noise decides
_MARGIN = 0.12  # of the contrast: a block this near to the threshold is not readable
_POINTS = 5  # sample points per block and direction, in its central half


def _remainders() -> npt.NDArray[np.uint16]:
    """What each bit of the codeword adds to the CRC remainder; bit 35 first. uint16 [36]."""
    out = np.zeros(_BITS, np.uint16)
    value = 1
    for i in range(_BITS):
        out[_BITS - 1 - i] = value
        value <<= 1
        if value >> _CRC_BITS:
            value ^= _CRC_POLY | 1 << _CRC_BITS
    return out


_REMAINDERS = _remainders()
_SHIFTS = np.arange(_BITS - 1, -1, -1, dtype=np.int64)
_WEIGHTS = np.int64(1) << np.arange(_BITS - _CRC_BITS - 1, -1, -1, dtype=np.int64)


def _bits(n: int) -> npt.NDArray[np.bool_]:
    """The 36 bits of counter ``n``, most significant first."""
    bits = (np.int64(n << _CRC_BITS) >> _SHIFTS & 1).astype(np.bool_)
    crc = int(np.bitwise_xor.reduce(_REMAINDERS[bits], initial=0)) ^ _CRC_INIT
    bits[-_CRC_BITS:] = (crc >> _SHIFTS[-_CRC_BITS:] & 1).astype(np.bool_)
    return bits


@lru_cache(maxsize=32)
def _columns(width: int) -> _Index:
    """For each pixel of a row, the column it lies in. intp [width]."""
    return np.arange(width) * _COLUMNS // width


@lru_cache(maxsize=32)
def _samples(height: int, width: int) -> tuple[_Index, _Index]:
    """Pixel rows [2 * 5, 1] and columns [20 * 5] of the sample points."""
    inner = (np.arange(_POINTS) + 0.5) / _POINTS * 0.5 + 0.25
    y = (np.arange(_ROWS)[:, None] + inner).ravel() * (height / STRIP / _ROWS)
    x = (np.arange(_COLUMNS)[:, None] + inner).ravel() * (width / _COLUMNS)
    return y.astype(np.intp)[:, None], x.astype(np.intp)


def burn(rgb: RGB, n: int) -> None:
    """Write counter ``n`` (0 .. PERIOD - 1) into ``rgb`` [H, W, 3] in place.

    Raises ValueError when ``n`` is out of range. Any size is accepted; below MIN_WIDTH x
    MIN_HEIGHT it may not be readable after encoding.
    """
    if not 0 <= n < PERIOD:
        raise ValueError(f"counter {n} is not in 0..{PERIOD - 1}")
    cells = np.full((_ROWS, _COLUMNS), _BLACK, np.uint8)
    cells[0, 0] = _WHITE
    cells[:, 1:-1][_bits(n).reshape(_ROWS, _COLUMNS - 2)] = _WHITE
    lines = cells[:, _columns(rgb.shape[1])][..., None].repeat(3, axis=2)
    strip = max(rgb.shape[0] // STRIP, _ROWS)
    rgb[: strip // 2] = lines[0]
    rgb[strip // 2 : strip] = lines[1]


def read(picture: npt.NDArray[np.uint8]) -> int | None:
    """The counter in ``picture``, uint8 [H, W, 3] (any RGB order) or [H, W] (luma), or None."""
    levels = _levels(picture)
    blacks = (levels[1, 0], levels[0, -1], levels[1, -1])
    white, black = float(levels[0, 0]), float(sum(blacks) / 3)
    contrast = white - black
    if abs(contrast) < _MIN_CONTRAST:
        return None
    if max(abs(float(b) - black) for b in blacks) > 0.3 * abs(contrast):
        return None  # the references disagree: no strip, or a mirrored one
    relative = (levels[:, 1:-1].ravel() - black) / contrast - 0.5
    if np.abs(relative).min() < _MARGIN:
        return None
    bits = relative > 0
    if int(np.bitwise_xor.reduce(_REMAINDERS[bits], initial=0)) != _CRC_INIT:
        return None
    return int(_WEIGHTS[bits[:-_CRC_BITS]].sum())


def is_inverted(picture: npt.NDArray[np.uint8]) -> bool:
    """Whether the white reference of ``picture`` is darker than the black ones."""
    levels = _levels(picture)
    return bool(levels[0, 0] < (levels[1, 0] + levels[0, -1] + levels[1, -1]) / 3)


def _levels(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Mean of the centre of each block, float32 [2, 20]."""
    rows, columns = _samples(picture.shape[0], picture.shape[1])
    points = picture[rows, columns].reshape(_ROWS, _POINTS, _COLUMNS, -1)
    return np.asarray(points.mean(axis=(1, 3), dtype=np.float32))
