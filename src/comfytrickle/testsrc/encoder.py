"""From RGB pictures to H.264 or H.265 access units, for clips and for live test sources."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, cast

import av
import numpy as np
import numpy.typing as npt

from comfytrickle.errors import InvalidInput
from comfytrickle.mpegts.units import CLOCK

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext

Codec = Literal["h264", "hevc"]
Matrix = Literal["bt601", "bt709"]

_ENCODERS = {"h264": "libx264", "hevc": "libx265"}
# ITU-T H.273: matrix, primaries, transfer.
_TAGS = {"bt601": (6, 6, 6), "bt709": (1, 1, 1)}
_SWS_MATRIX = {"bt601": 5, "bt709": 1}
_RANGES = {False: 1, True: 2}  # AVColorRange: limited, full


@dataclass(frozen=True, slots=True)
class ColourSpec:
    """How the encoder turns RGB into YUV, and whether it says so in the bit stream."""

    matrix: Matrix = "bt709"
    full_range: bool = False
    tagged: bool = True


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One access unit, Annex B with parameter sets before each keyframe. Times in 90 kHz ticks."""

    data: bytes
    pts: int
    dts: int
    keyframe: bool


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What comes out. ``gop`` and ``bframes`` in frames; sizes even (4:2:0)."""

    width: int
    height: int
    fps: Fraction = Fraction(30)
    codec: Codec = "h264"
    gop: int = 30
    bframes: int = 0
    preset: str = "ultrafast"
    crf: float = 23.0
    threads: int = 1
    colour: ColourSpec = ColourSpec()


class PictureEncoder:
    """One opened encoder. Without B-frames each picture comes out of the call that put it in.

    Raises InvalidInput for sizes that 4:2:0 does not have.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        if spec.width % 2 or spec.height % 2 or min(spec.width, spec.height) < 16:
            raise InvalidInput(
                "size", f"{spec.width}x{spec.height}: width and height must be even, 16 and up"
            )
        self.spec = spec
        self._context = _open(spec)

    def encode(
        self, rgb: npt.NDArray[np.uint8], pts: int, keyframe: bool = False
    ) -> list[EncodedFrame]:
        """``rgb`` is uint8 [height, width, 3], contiguous; it may be reused afterwards.

        ``pts`` in 90 kHz ticks, strictly increasing. ``keyframe`` forces one here.
        """
        colour = self.spec.colour
        frame = av.VideoFrame.from_numpy_buffer(rgb, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=_SWS_MATRIX[colour.matrix],
            src_color_range=2,
            dst_color_range=_RANGES[colour.full_range],
            interpolation="AREA",  # the default, bicubic, lets chroma ring at the edges of bars
            threads=1,
        )
        frame.pts = pts
        frame.time_base = Fraction(1, CLOCK)
        frame.pict_type = 1 if keyframe else 0  # I, or the encoder's choice
        if not colour.tagged:
            frame.colorspace = frame.color_primaries = frame.color_trc = 2
            frame.color_range = 0
        return self._units(self._context.encode(frame))

    def flush(self) -> list[EncodedFrame]:
        """What B-frame reordering still holds. Nothing can be encoded afterwards."""
        return self._units(self._context.encode(None))

    def _units(self, packets: list[Packet[Any]]) -> list[EncodedFrame]:
        out = []
        for packet in packets:
            assert packet.pts is not None and packet.dts is not None
            out.append(EncodedFrame(bytes(packet), packet.pts, packet.dts, packet.is_keyframe))
        return out


def _open(spec: EncoderSpec) -> VideoCodecContext:
    context = cast("VideoCodecContext", av.CodecContext.create(_ENCODERS[spec.codec], "w"))
    context.width, context.height = spec.width, spec.height
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, CLOCK)
    context.framerate = spec.fps
    context.gop_size = spec.gop
    context.max_b_frames = spec.bframes
    context.thread_count = spec.threads
    colour = spec.colour
    if colour.tagged:
        matrix, primaries, transfer = _TAGS[colour.matrix]
        context.colorspace = matrix
        context.color_primaries = primaries
        context.color_trc = transfer
        context.color_range = _RANGES[colour.full_range]
    options = {"preset": spec.preset, "crf": str(spec.crf), "forced-idr": "1"}
    # Fixed GOPs, closed (a segment must decode alone), access unit delimiters for MPEG-TS.
    private = "aud=1:scenecut=0:open-gop=0:b-adapt=0"
    if spec.codec == "hevc":
        # x265 has no thread count of its own for small pictures: pools=none keeps it to one
        pools = "pools=none:frame-threads=1:" if spec.threads == 1 else ""
        options["x265-params"] = f"{pools}{private}:log-level=error:repeat-headers=1"
    else:
        options["x264-params"] = f"{private}:keyint={spec.gop}:min-keyint=1:b-pyramid=0"
    if spec.bframes == 0:
        options["tune"] = "zerolatency"
    context.options = options
    context.open()
    return context
