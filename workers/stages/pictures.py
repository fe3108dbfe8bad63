"""First thread, for a stream that is sent pictures one by one: JPEG or raw in, RGB frames out into
the slot. In place of the DecodeStage.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import av
import numpy as np

from comfytrickle.errors import InvalidInput
from comfytrickle.frame_message import HEADER_BYTES, Header, Kind, unpack
from comfytrickle.messages import StreamConfig
from comfytrickle.mpegts.timeline import Timeline
from comfytrickle.mpegts.units import CLOCK, PTS_MASK
from workers.ends.outlet import Outlet
from workers.media.colour import untagged
from workers.media.convert import Size, ToRgb, even
from workers.media.frames import RGB, Frame
from workers.media.jpeg import BadJpeg, JpegDecoder
from workers.media.slot import Slot
from workers.stages.items import Item, Picture, Resize, SourceEnd
from workers.stages.queues import Inbox
from workers.stages.stage import Stage
from workers.stages.stats import Drops, Stats

# The progress of a stream is told by its segments; one that has none is always in this one.
_SEGMENT = 0


class PictureStage(Stage):
    """Decode, put the frames on the output's timeline and into the slot.

    What cannot be decoded is dropped as ``damaged``, and told by its sender's number.
    """

    def __init__(
        self,
        config: StreamConfig,
        inbox: Inbox[Item],
        slot: Slot,
        stats: Stats,
        outlet: Outlet,
        *,
        on_refused: Callable[[int, str], None],
        on_error: Callable[[str, Exception], None],
    ) -> None:
        super().__init__("decode", on_error)
        self._inbox = inbox
        self._slot = slot
        self._stats = stats
        self._outlet = outlet
        self._on_refused = on_refused
        self._drops = Drops()
        self._jpeg = JpegDecoder()
        self._to_rgb = ToRgb()
        self._timeline = Timeline()
        resume = config.resume_at
        if resume is not None and resume.source_pts >= 0:
            self._timeline.resume(resume.source_pts, resume.pts)
        self.size: Size | None = None
        if config.width and config.height:
            self.size = (config.width, config.height)
        self.codec: str | None = None

    def work(self) -> None:
        while True:
            match self._inbox.get():
                case Picture(data, arrived):
                    self._take(data, arrived)
                case Resize(width, height):
                    self.size = (width, height)
                case SourceEnd():
                    return

    def abort(self) -> None:
        self._slot.close()

    def dropped(self) -> dict[str, int]:
        """Frames lost before the slot, by cause."""
        return self._drops.snapshot()

    def _take(self, data: bytes, arrived: float) -> None:
        self._stats.frames_in += 1
        self._stats.rate_in.tick(arrived)
        self.busy_since = time.monotonic()
        header = None
        try:
            header = unpack(data)
            rgb, owner = self._decode(header, data)
        except (BadJpeg, InvalidInput) as error:
            self._drops.add("damaged")
            self._on_refused(header.seq if header is not None else 0, str(error))
            return
        finally:
            self.busy_since = None
        self.size = (rgb.shape[1], rgb.shape[0])
        now = time.monotonic()
        self._stats.decode.add(now - arrived)
        ticks = header.pts if header.pts >= 0 else int(arrived * CLOCK)
        source_pts = ticks & PTS_MASK
        frame = Frame(
            rgb=rgb,
            pts=self._timeline.video(source_pts),
            colour=untagged(rgb.shape[0]),
            arrived=arrived,
            segment=_SEGMENT,
            source_pts=source_pts,
            decoded=now,
            owner=owner,
            sent=header.time,
        )
        if self._outlet.watches_input:
            self._outlet.offer_input(frame)
        self._slot.put(frame)

    def _decode(self, header: Header, data: bytes) -> tuple[RGB, av.VideoFrame]:
        """At the stream's size; while it has none, at the picture's own."""
        if header.kind == Kind.JPEG:
            self.codec = "jpeg"
            return self._jpeg.decode(data[HEADER_BYTES:], self.size)
        self.codec = "rgb24"
        pixels = np.frombuffer(data, np.uint8, offset=HEADER_BYTES)
        if len(pixels) != 3 * header.width * header.height:
            raise InvalidInput("payload", "is not as long as its size says")
        rgb = pixels.reshape(header.height, header.width, 3)
        picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        size = self.size or even((header.width, header.height))
        return self._to_rgb.convert(picture, untagged(header.height), size)
