"""Reads counters out of decoded frames without converting them to RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from comfytrickle.testsrc import counter

if TYPE_CHECKING:
    import av


def luma(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """The Y plane of a planar 8-bit YUV frame, uint8 [H, W], a view that lives with ``frame``.

    Raises ValueError for any other pixel format.
    """
    if frame.format.name not in ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "gray"):
        raise ValueError(f"no 8-bit luma plane in {frame.format.name}")
    plane = frame.planes[0]
    flat: npt.NDArray[np.uint8] = np.frombuffer(cast(Any, plane), np.uint8)
    return flat.reshape(-1, plane.line_size)[: frame.height, : frame.width]


def read_frame(frame: av.VideoFrame) -> int | None:
    """The counter in ``frame``, or None when it cannot be read for certain."""
    return counter.read(luma(frame))
