"""Access units of one video stream in, RGB pictures out. One thread uses a Decoder.

Two promises hold whatever arrives. A picture that comes out is whole: from the first sign of damage
to the next keyframe nothing does, because a decoder conceals what it lacks and hands the result
over as if it were good. And every unit is accounted for: it is a Frame, or it is in ``dropped``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import av
from av.codec.context import Flags, ThreadType

from comfytrickle.errors import ComfytrickleError
from comfytrickle.mpegts.nal import has_parameter_sets, is_keyframe, parameter_sets
from comfytrickle.mpegts.sps import sps_facts
from comfytrickle.mpegts.units import AccessUnit
from workers.media.colour import colour_from_tags
from workers.media.convert import Size, ToRgb, even
from workers.media.frames import Frame

NO_PTS = -1  # Frame.pts of a unit that carried none; a 33-bit timestamp is never negative

# How far behind, in decoding order, a picture can still come out: the DPB holds 16 frames at most
# (H.264 A.3.1, H.265 A.4.2), or twice as many fields. Without reordering only a field waits.
_REORDER_WINDOW = 32
_LOW_DELAY_WINDOW = 1

_NAL_CODECS = ("h264", "hevc")
_MPEG2_SEQUENCE_HEADER = b"\x00\x00\x01\xb3"


class UnsupportedVideo(ComfytrickleError):
    """No decoder for this codec, or no way from its sample format to RGB. Do not retry."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What a Frame must learn from the unit it was made of."""

    pts: int
    arrived: float


class Decoder:
    """Decodes H.264, H.265 or MPEG-2 video to rgb24 at the stream's size.

    ``size`` (width, height) is what the frames have whatever the source does; without one the
    source's first size, made even, is taken and kept.
    ``dropped`` counts units by cause: ``damaged`` (bytes lost, or the decoder found an error),
    ``undecodable`` (whole, but with nothing to start from or to refer to).
    Raises UnsupportedVideo when built for a codec that libav cannot decode.
    """

    def __init__(self, codec: str, size: Size | None, *, threads: int = 1) -> None:
        self.codec = codec
        self.dropped: dict[str, int] = {"damaged": 0, "undecodable": 0}
        self._size = size
        self._threads = threads
        self._to_rgb = ToRgb()
        self._low_delay = False
        self._context = self._new_context()
        self._spoilt = False  # the decoder met an error and must not decode anything else
        self._sets = b""  # parameter sets of the last keyframe that had them
        self._lacks_sets = False  # this decoder has not seen them
        self._waiting = True  # for a keyframe
        self._serial = 0
        self._inside: dict[int, _Source] = {}  # by serial number, in decoding order

    @property
    def size(self) -> Size | None:
        """Width and height of the frames given out; None before the first one."""
        return self._size

    def resize(self, size: Size | None) -> None:
        """From the next frame on; None takes the source's own size then, and keeps it."""
        self._size = size

    def decode(self, unit: AccessUnit) -> list[Frame]:
        """The frames that ``unit`` completes, in presentation order.

        Frame.pts is the unit's own 33-bit pts, or NO_PTS. Pictures that were decoded before a
        damaged unit and only waited for their turn still come out.
        """
        if unit.damaged or not unit.data:  # libav takes an empty packet for the end of the stream
            self.dropped["damaged"] += 1
            return self.flush()
        frames: list[Frame] = []
        data = unit.data
        key = self._is_keyframe(unit)
        if key:
            frames += self._adapt(unit)
            data = self._startable(data)
        elif self._waiting:
            self.dropped["undecodable"] += 1
            return []
        self._waiting = False
        packet = av.Packet(data)
        # The serial number takes the place of the pts on the way through the decoder: unlike a
        # pts it is never absent, repeated or wrapped.
        packet.pts = serial = self._serial
        self._serial += 1
        self._inside[serial] = _Source(NO_PTS if unit.pts is None else unit.pts, unit.arrived)
        try:
            pictures = self._context.decode(packet)
        except av.FFmpegError:
            del self._inside[serial]
            self.dropped["damaged"] += 1
            self._spoilt = True
            return frames + self.flush()
        if key:
            self._started(data)
        return frames + self._frames(pictures)

    def flush(self) -> list[Frame]:
        """The frames still inside, in order. Afterwards a keyframe is waited for."""
        pictures: list[av.VideoFrame] = []
        if self._inside:
            try:
                pictures = self._context.decode(None)
            except av.FFmpegError:
                self._spoilt = True  # what it could not give is counted as left inside, below
        frames = self._frames(pictures)
        self._restart("undecodable")
        return frames

    def close(self) -> None:
        """Give up what is inside (flush first to have it) and the decoder's memory. Idempotent."""
        self._restart("undecodable")
        self._context = self._new_context()  # libav allocates nothing before first use

    def _new_context(self) -> av.VideoCodecContext:
        try:
            context = av.CodecContext.create(self.codec, "r")
        except ValueError as error:  # av's UnknownCodecError is one
            raise UnsupportedVideo(f"no decoder for {self.codec!r}") from error
        if not isinstance(context, av.VideoCodecContext):
            raise UnsupportedVideo(f"{self.codec!r} is not a video codec")
        context.thread_count = self._threads
        context.thread_type = ThreadType.SLICE  # frame threads would hold pictures back
        if self._low_delay:
            context.flags |= Flags.low_delay
        return context

    def _is_keyframe(self, unit: AccessUnit) -> bool:
        if unit.random_access:
            return True
        if self.codec in _NAL_CODECS:
            return is_keyframe(self.codec, unit.data)
        return _MPEG2_SEQUENCE_HEADER in unit.data[:64]

    def _startable(self, data: bytes) -> bytes:
        """A keyframe with the parameter sets that a new decoder needs: a source may have sent
        them at its beginning only."""
        if self._lacks_sets and not has_parameter_sets(self.codec, data):
            return self._sets + data
        return data

    def _started(self, data: bytes) -> None:
        """A keyframe was taken without an error."""
        if self.codec in _NAL_CODECS and has_parameter_sets(self.codec, data):
            self._sets = parameter_sets(self.codec, data)
        self._lacks_sets = False

    def _adapt(self, unit: AccessUnit) -> list[Frame]:
        """Choose the decoder's delay by what a keyframe's parameter set says.

        LOW_DELAY breaks the order of a stream that does reorder, so it takes a clear word. Returns
        the frames that a decoder replaced for this still held.
        """
        facts = sps_facts(self.codec, unit.data) if self.codec in _NAL_CODECS else None
        if facts is None:
            return []
        low_delay = facts.max_reorder == 0
        if low_delay == self._low_delay:
            return []
        frames = self.flush()
        self._low_delay = low_delay
        self._context = self._new_context()
        return frames

    def _frames(self, pictures: list[av.VideoFrame]) -> list[Frame]:
        frames: list[Frame] = []
        for picture in pictures:
            serial = picture.pts if picture.pts is not None else -1
            source = self._inside.pop(serial, None)
            if source is None:
                continue  # given up, and counted, long ago
            if picture.is_corrupt:
                self.dropped["damaged"] += 1
                self._spoilt = True
                self._restart("damaged")
                break
            frames.append(self._frame(picture, source))
        self._give_up_stale()
        return frames

    def _frame(self, picture: av.VideoFrame, source: _Source) -> Frame:
        colour = colour_from_tags(
            picture.colorspace,
            picture.color_primaries,
            picture.color_trc,
            picture.color_range,
            height=picture.height,
            pix_fmt=picture.format.name,
        )
        if self._size is None:
            self._size = even((picture.width, picture.height))
        try:
            rgb, owner = self._to_rgb.convert(picture, colour, self._size)
        except av.FFmpegError as error:
            raise UnsupportedVideo(f"cannot convert {picture.format.name} to RGB") from error
        return Frame(
            rgb=rgb,
            pts=source.pts,
            colour=colour,
            arrived=source.arrived,
            decoded=time.monotonic(),
            owner=owner,
        )

    def _give_up_stale(self) -> None:
        """Count units that the decoder skipped without a word (HEVC: leading pictures of a CRA)."""
        window = _LOW_DELAY_WINDOW if self._low_delay else _REORDER_WINDOW
        while self._inside and next(iter(self._inside)) < self._serial - 1 - window:
            del self._inside[next(iter(self._inside))]
            self.dropped["undecodable"] += 1

    def _restart(self, cause: str) -> None:
        """Nothing of what is inside reaches a later frame."""
        self.dropped[cause] += len(self._inside)
        self._inside.clear()
        if self._spoilt:
            # Flushing is not enough: where libavcodec's H.264 decoder gives a block up, its
            # coefficients stay behind and are added to a later picture, be it an IDR.
            self._context = self._new_context()
            self._spoilt = False
            self._lacks_sets = bool(self._sets)
        else:
            self._context.flush_buffers()
        self._waiting = True
