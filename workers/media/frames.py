"""A picture on its way through a worker, and the colour it must leave in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]  # [height, width, 3], 0..255, full range; rows may be strided


@dataclass(frozen=True, slots=True)
class Colour:
    """How YUV relates to RGB (values of ITU-T H.273 as ffmpeg numbers them; 2 = unspecified).

    ``matrix`` and ``full_range`` are what is used for conversion; the *tags* are what the source
    said, and what the output says: an untagged source leaves untagged.
    """

    matrix: int  # AVColorSpace used in conversion: 1 BT.709, 5/6 BT.601, 9 BT.2020
    full_range: bool
    tag_matrix: int = 2
    tag_primaries: int = 2
    tag_transfer: int = 2
    tag_range: int = 0  # AVColorRange: 0 unspecified, 1 limited (MPEG), 2 full (JPEG)


@dataclass(slots=True)
class Frame:
    """One picture between decoder and encoder.

    ``pts`` is in 90 kHz ticks on the output's timeline (unwrapped, strictly increasing).
    Times are time.monotonic() seconds.
    """

    rgb: RGB
    pts: int
    colour: Colour
    arrived: float  # the frame's last byte was read
    segment: int = -1  # trickle segment that it came in; -1: not known
    source_pts: int = -1  # its 33-bit timestamp there; -1: it had none
    decoded: float = 0.0
    engine_done: float = 0.0
    sent: float = 0.0  # seconds by the clock of who sent it as a single picture; 0: not known
    owner: Any = None  # keeps the memory behind rgb alive (an av.VideoFrame, a pinned tensor)

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])
