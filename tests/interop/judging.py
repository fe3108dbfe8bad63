"""What pictures show: which frame of the test pattern each one is, and how far off it is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from comfytrickle.testsrc import counter
from comfytrickle.testsrc.pattern import Pattern

RGB = npt.NDArray[np.uint8]

WIDTH, HEIGHT, FPS = 192, 128, 30
_BT601 = 5  # SWS_CS_ITU601


@dataclass(frozen=True)
class Judged:
    """One picture. ``off``: mean distance of its values to the pattern's own frame, in levels."""

    counter: int | None
    off: float


def judge(pictures: Iterator[RGB]) -> list[Judged]:
    pattern = Pattern(WIDTH, HEIGHT, FPS)
    out = []
    for picture in pictures:
        n = counter.read(picture)
        meant = pattern.render(n or 0).astype(np.int16)
        assert picture.shape == meant.shape, f"{picture.shape} instead of {meant.shape}"
        out.append(Judged(n, float(np.abs(picture.astype(np.int16) - meant).mean())))
    return out


def from_rgb_file(path: Path) -> Iterator[RGB]:
    """Frames as they stand in the file, uint8 [H, W, 3]."""
    data = np.fromfile(path, np.uint8)
    yield from data.reshape(-1, HEIGHT, WIDTH, 3)


def from_mpegts(data: bytes) -> Iterator[RGB]:
    """Decoded by PyAV's own demuxer; YUV read as the stream says, as BT.601 when it is silent."""
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        for frame in container.decode(video=0):
            matrix = frame.colorspace if frame.colorspace != 2 else _BT601
            rgb = frame.reformat(format="rgb24", src_colorspace=matrix)
            yield np.asarray(rgb.to_ndarray(), np.uint8)
