"""Between decoded YUV and the RGB that the engine sees, and back to what an encoder takes.

Each class keeps its scaler's tables, so one object serves one direction of one stream, in one
thread. The scaler runs on the calling thread: its own pool costs more than it gives at these sizes
and is shared with every other worker on the machine.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from workers.media.colour import FULL, scaler_matrix, scaler_range
from workers.media.frames import RGB, Colour

Size = tuple[int, int]  # width, height


def even(size: Size) -> Size:
    """The largest size that 4:2:0 can carry within ``size``; at least 2 x 2."""
    return max(2, size[0] & ~1), max(2, size[1] & ~1)


def interpolation(source: Size, target: Size) -> Interpolation:
    """AREA where pixels are merged or only chroma is resampled, BICUBIC where they are made up.

    At the same size AREA repeats and averages chroma over whole pixels, so that edges survive the
    way to RGB and back within 1 of 255; the other filters bleed over them.
    """
    if target[0] <= source[0] and target[1] <= source[1]:
        return Interpolation.AREA
    return Interpolation.BICUBIC


class ToRgb:
    """Decoded frames to rgb24 at one size."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def convert(
        self, frame: av.VideoFrame, colour: Colour, size: Size
    ) -> tuple[RGB, av.VideoFrame]:
        """``frame`` as uint8 [height, width, 3] of ``size``, and the object that owns the memory.

        The array is a view of the owner's plane: rows are padded. A source with an odd size loses
        its last row or column rather than being resampled.
        """
        source = (frame.width, frame.height)
        scaled = source if even(source) == size else size
        matrix = scaler_matrix(colour)
        owner = self._scaler.reformat(
            frame,
            width=scaled[0],
            height=scaled[1],
            format="rgb24",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=scaler_range(colour),
            dst_color_range=FULL,
            interpolation=interpolation(source, scaled),
            threads=1,
        )
        return rgb_view(owner)[: size[1], : size[0]], owner


class FromRgb:
    """RGB arrays to the encoder's pixel format, same size."""

    def __init__(self, pix_fmt: str = "yuv420p") -> None:
        self.pix_fmt = pix_fmt
        self._scaler = VideoReformatter()

    def convert(self, rgb: RGB, colour: Colour) -> av.VideoFrame:
        """``rgb`` as a frame in ``pix_fmt`` with ``colour``'s matrix, range and tags.

        Rows may be padded; any other layout is copied first.
        """
        if rgb.strides[1:] != (3, 1) or rgb.strides[0] < 3 * rgb.shape[1]:
            rgb = np.ascontiguousarray(rgb)
        matrix = scaler_matrix(colour)
        frame = self._scaler.reformat(
            av.VideoFrame.from_numpy_buffer(rgb, format="rgb24"),
            format=self.pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL,
            dst_color_range=scaler_range(colour),
            interpolation=Interpolation.AREA,
            threads=1,
        )
        frame.colorspace = colour.tag_matrix
        frame.color_primaries = colour.tag_primaries
        frame.color_trc = colour.tag_transfer
        frame.color_range = colour.tag_range
        return frame


def rgb_view(frame: av.VideoFrame) -> RGB:
    """A packed rgb24 frame's pixels, uint8 [height, width, 3], without a copy."""
    plane = frame.planes[0]
    rows: RGB = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]  # it is a buffer
    rows = rows.reshape(frame.height, plane.line_size)
    return rows[:, : frame.width * 3].reshape(frame.height, frame.width, 3)
