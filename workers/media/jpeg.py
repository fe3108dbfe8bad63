"""RGB pictures to JPEG and back, one picture at a time. One thread uses an object.

JFIF's colours: BT.601, full range (ITU-T T.871, 7).
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from comfytrickle.errors import ComfytrickleError
from comfytrickle.frame_message import SIZE_MAX
from workers.media.colour import BT470BG, FULL, SMPTE170M
from workers.media.convert import Size, ToRgb, even, interpolation
from workers.media.frames import RGB, Colour

_COLOUR = Colour(matrix=SMPTE170M, full_range=True)
_BEST, _WORST = 2, 31  # quantiser scales of libavcodec's encoder
_TIME_BASE = Fraction(1, 1)  # it has to have one


class BadJpeg(ComfytrickleError):
    """These bytes are no whole picture. The next one may be."""


def quantiser(quality: int) -> int:
    """The encoder's scale for a quality of 1 to 100."""
    return round(_WORST - (quality - 1) * (_WORST - _BEST) / 99)


def fitted(size: Size, width: int | None) -> Size:
    """``size`` made no wider than ``width``, in its shape; even, at least 2 x 2."""
    if width is None or size[0] <= width:
        return max(2, size[0] & ~1), max(2, size[1] & ~1)
    return max(2, width & ~1), max(2, round(size[1] * width / size[0]) & ~1)


class JpegEncoder:
    """Scales and encodes; made anew for another size or quality."""

    def __init__(self) -> None:
        self._scaler = av.video.reformatter.VideoReformatter()
        self._context: av.VideoCodecContext | None = None
        self._opened_for: tuple[Size, int] | None = None

    def encode(self, rgb: RGB, size: Size, quality: int, max_bytes: int) -> bytes:
        """``rgb`` [H, W, 3] at ``size``; more coarsely if it would take more than ``max_bytes``.

        Raises BadJpeg when no quality is coarse enough.
        """
        if rgb.strides[1:] != (3, 1) or rgb.strides[0] < 3 * rgb.shape[1]:
            rgb = np.ascontiguousarray(rgb)
        source = (rgb.shape[1], rgb.shape[0])
        picture = self._scaler.reformat(
            av.VideoFrame.from_numpy_buffer(rgb, format="rgb24"),
            width=size[0],
            height=size[1],
            format="yuvj420p",
            dst_colorspace=BT470BG,
            dst_color_range=FULL,
            interpolation=interpolation(source, size),
            threads=1,
        )
        picture.pts = None
        scale = quantiser(quality)
        while True:
            data = self._encode(picture, size, scale)
            if len(data) <= max_bytes:
                return data
            if scale == _WORST:
                raise BadJpeg(f"a picture of {size[0]} x {size[1]} takes {len(data)} bytes")
            scale = min(_WORST, scale * 2)

    def _encode(self, picture: av.VideoFrame, size: Size, scale: int) -> bytes:
        if self._context is None or self._opened_for != (size, scale):
            self._context = _open(size, scale)
            self._opened_for = size, scale
        return b"".join(bytes(packet) for packet in self._context.encode(picture))


def _open(size: Size, scale: int) -> av.VideoCodecContext:
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = size
    context.pix_fmt = "yuvj420p"
    context.color_range = FULL
    context.time_base = _TIME_BASE
    context.thread_count = 1  # with more, pictures wait inside
    context.qmin = context.qmax = scale
    # No optimal tables: they cost a second pass. bitexact: without libavcodec's name in each.
    context.options = {"huffman": "default", "flags": "+bitexact"}
    context.open()
    return context


class JpegDecoder:
    """Decodes whole pictures only."""

    def __init__(self) -> None:
        self._context = self._open()
        self._to_rgb = ToRgb()

    def decode(self, data: bytes, size: Size | None) -> tuple[RGB, av.VideoFrame]:
        """uint8 [H, W, 3] at ``size`` (None: its own, made even), and the owner of the memory.

        Raises BadJpeg for what is damaged, cut short, or no JPEG.
        """
        if not data:  # libav takes an empty packet for the end of all
            raise BadJpeg("there is no picture in no bytes")
        try:
            pictures = self._context.decode(av.Packet(data))
        except av.FFmpegError as error:
            self._context = self._open()
            raise BadJpeg(f"this JPEG cannot be decoded: {error.strerror}") from error
        if not pictures:
            raise BadJpeg("there is no picture in this JPEG")
        picture = pictures[0]
        return self._to_rgb.convert(picture, _COLOUR, size or even((picture.width, picture.height)))

    def _open(self) -> av.VideoCodecContext:
        context = av.CodecContext.create("mjpeg", "r")
        assert isinstance(context, av.VideoCodecContext)
        context.thread_count = 1
        # Without "explode" what is damaged comes out as a picture that is grey below.
        context.options = {"err_detect": "explode", "max_pixels": str(SIZE_MAX * SIZE_MAX)}
        return context
