"""RGB pictures in, H.264 access units out, at once. One thread uses an Encoder."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.frame import PictureType

from comfytrickle.errors import ComfytrickleError
from comfytrickle.messages import EncodeConfig
from comfytrickle.mpegts.units import CLOCK
from workers.media import colour as colours
from workers.media.cadence import Cadence
from workers.media.convert import FromRgb, Size
from workers.media.encode_options import (
    NVENC,
    X264,
    EncoderSetup,
    check,
    nvenc_setup,
    x264_setup,
)
from workers.media.frames import Colour, Frame
from workers.media.nvenc import NvencProbe

log = logging.getLogger(__name__)

_TIME_BASE = Fraction(1, CLOCK)


class EncodeFailed(ComfytrickleError):
    """This frame could not be encoded, or no encoder opens. The next frame gets a new encoder."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One access unit. Times are time.monotonic() seconds, those of the Frame it was made from."""

    data: bytes  # Annex B; a keyframe brings its parameter sets
    pts: int  # 90 kHz
    dts: int
    keyframe: bool
    segment: int
    source_pts: int
    arrived: float
    decoded: float
    engine_done: float
    encoded: float


class Encoder:
    """Encodes at the size and in the colour of each frame; a change of either begins anew with IDR.

    Keyframes come by time: at the frame nearest to ``gop_s`` after the last one, whatever the frame
    rate. ``name`` is the encoder in use ("libx264" or "h264_nvenc"); with ``encoder="auto"`` NVENC
    is taken where ``nvenc`` finds that it opens.

    The rate control of both encoders counts frames and knows no timestamps, so it must be told the
    frame rate: ``fps_hint`` at first, then what was measured from keyframe to keyframe. When that
    has become wrong, the encoder is opened anew at the next keyframe.
    Raises InvalidInput for a configuration that cannot be, EncodeFailed if NVENC was asked for by
    name and does not open.
    """

    def __init__(
        self, config: EncodeConfig, *, fps_hint: float = 30.0, nvenc: NvencProbe | None = None
    ) -> None:
        check(config)
        self._setup = _choose(config, nvenc or NvencProbe())
        self._may_fall_back = config.encoder == "auto"
        self._config = config
        self._cadence = Cadence(config.gop_s, fps_hint)
        self._from_rgb = FromRgb(self._setup.pix_fmt)
        self._context: av.VideoCodecContext | None = None
        self._opened_for: tuple[Size, Colour, float] | None = None
        self._inside: dict[int, Frame] = {}  # by pts
        self._last_pts: int | None = None

    @property
    def name(self) -> str:
        return self._setup.name

    def encode(self, frame: Frame) -> list[EncodedFrame]:
        """The packets that this frame brings out: with libx264 exactly its own.

        An odd size loses its last row or column. Timestamps have to grow; one that does not is
        moved to one tick after the last, since no decoder takes it otherwise.
        Raises EncodeFailed.
        """
        rgb = frame.rgb[: frame.height & ~1, : frame.width & ~1]
        size = (rgb.shape[1], rgb.shape[0])
        if 0 in size:
            raise EncodeFailed(f"a frame of {frame.width} x {frame.height} is too small for video")
        pts = frame.pts
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1
        self._last_pts = pts
        colour = colours.for_output(frame.colour, size[1])
        done: list[EncodedFrame] = []
        if self._opened_for is not None and self._opened_for[:2] != (size, colour):
            done += self.flush()
        key = self._cadence.step(pts)
        wanted = (size, colour, self._cadence.fps)
        if self._context is None or self._opened_for != wanted:
            done += self._finish()
            self._context = self._open(size, colour)
            self._opened_for = wanted
        picture = self._from_rgb.convert(rgb, colour)
        picture.pts = pts
        picture.time_base = _TIME_BASE
        if key:
            picture.pict_type = PictureType.I
        self._inside[pts] = frame
        return done + self._run(self._context, picture)

    def flush(self) -> list[EncodedFrame]:
        """What is still inside. The next frame begins anew, with an IDR."""
        done = self._finish()
        self._cadence.restart()
        return done

    def close(self) -> None:
        """Free the encoder and give up what is inside. Idempotent."""
        self._context = self._opened_for = None
        self._inside.clear()
        self._cadence.restart()

    def _finish(self) -> list[EncodedFrame]:
        context, self._context, self._opened_for = self._context, None, None
        if context is None:
            return []
        try:
            return self._run(context, None)
        finally:
            self._inside.clear()

    def _open(self, size: Size, colour: Colour) -> av.VideoCodecContext:
        try:
            return self._try_open(self._setup, size, colour)
        except av.FFmpegError as error:
            if not (self._may_fall_back and self._setup.name == NVENC):
                raise EncodeFailed(f"{self._setup.name} does not open: {error.strerror}") from error
            log.warning(
                "%s does not take %d x %d: %s; using %s", NVENC, *size, error.strerror, X264
            )
        self._setup = x264_setup(self._config)
        self._from_rgb = FromRgb(self._setup.pix_fmt)
        return self._open(size, colour)

    def _try_open(self, setup: EncoderSetup, size: Size, colour: Colour) -> av.VideoCodecContext:
        context = av.CodecContext.create(setup.name, "w")
        assert isinstance(context, av.VideoCodecContext)  # both names are video encoders
        context.width, context.height = size
        context.pix_fmt = setup.pix_fmt
        context.time_base = _TIME_BASE
        context.framerate = Fraction(self._cadence.fps).limit_denominator(1001)
        context.gop_size = setup.gop_size
        context.max_b_frames = 0
        context.thread_count = self._config.threads
        if setup.bit_rate is not None:
            context.bit_rate = setup.bit_rate
        context.colorspace = colour.tag_matrix
        context.color_primaries = colour.tag_primaries
        context.color_trc = colour.tag_transfer
        context.color_range = colour.tag_range
        context.options = dict(setup.options)
        context.open()
        return context

    def _run(
        self, context: av.VideoCodecContext, picture: av.VideoFrame | None
    ) -> list[EncodedFrame]:
        try:
            packets = context.encode(picture)
        except av.FFmpegError as error:
            self.close()
            raise EncodeFailed(f"{self._setup.name}: {error}") from error
        now = time.monotonic()
        done = []
        for packet in packets:
            if packet.pts is None or packet.dts is None:
                raise EncodeFailed(f"{self._setup.name} gave a packet without timestamps")
            frame = self._inside.pop(packet.pts)
            done.append(
                EncodedFrame(
                    data=bytes(packet),
                    pts=packet.pts,
                    dts=packet.dts,
                    keyframe=packet.is_keyframe,
                    segment=frame.segment,
                    source_pts=frame.source_pts,
                    arrived=frame.arrived,
                    decoded=frame.decoded,
                    engine_done=frame.engine_done,
                    encoded=now,
                )
            )
        return done


def _choose(config: EncodeConfig, probe: NvencProbe) -> EncoderSetup:
    if config.encoder == X264:
        return x264_setup(config)
    setup = nvenc_setup(config)
    reason = probe.why_not(setup)
    if reason is None:
        return setup
    if config.encoder == NVENC:
        raise EncodeFailed(reason)
    log.info("encoding with %s, on the CPU", X264)
    log.debug("not with NVENC: %s", reason)
    return x264_setup(config)
