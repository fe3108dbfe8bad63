"""Digits of 5 x 7 dots, so that the test pattern looks the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

COLUMNS = 6  # dots per character, with the gap
ROWS = 7

# One row of dots per hexadecimal pair; bit 4 is the leftmost dot.
_DOTS = {
    "0": "0e11131519110e",
    "1": "040c040404040e",
    "2": "0e11010204081f",
    "3": "1f02040201110e",
    "4": "02060a121f0202",
    "5": "1f101e0101110e",
    "6": "0608101e11110e",
    "7": "1f010204080808",
    "8": "0e11110e11110e",
    "9": "0e11110f01020c",
    ":": "000c0c000c0c00",
    ".": "00000000000c0c",
}


def glyphs(
    scale: int, ink: tuple[int, int, int], paper: tuple[int, int, int]
) -> dict[str, npt.NDArray[np.uint8]]:
    """Each character as uint8 [7 * scale, 6 * scale, 3]."""
    out = {}
    for char, code in _DOTS.items():
        rows = np.frombuffer(bytes.fromhex(code), np.uint8)
        dots = np.zeros((ROWS, COLUMNS), np.bool_)
        dots[:, :5] = rows[:, None] >> np.arange(4, -1, -1) & 1
        big = dots.repeat(scale, 0).repeat(scale, 1)[..., None]
        out[char] = np.where(big, np.array(ink, np.uint8), np.array(paper, np.uint8))
    return out
