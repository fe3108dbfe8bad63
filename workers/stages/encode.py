"""Third thread: encodes what the engine gave, and muxes it with the sound of its time.

It owns the encoders and the muxer. A new segment begins at every keyframe; where there is sound
alone, when the last one is long enough.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

from comfytrickle.messages import EncodeConfig, Failed
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import CLOCK, ElementaryStream
from workers.media.encode import EncodedFrame, EncodeFailed, Encoder
from workers.media.frames import Frame
from workers.sound.intake import Track
from workers.sound.outgoing import OutUnit, SoundCounts, SoundOut
from workers.sound.route import Held, SoundRoute
from workers.stages.items import Packet, Sent, SentFrame, SentSound
from workers.stages.queues import Closed, Handover, Outbox
from workers.stages.stage import Stage
from workers.stages.stats import Drops, Stats

_VIDEO_PID = 0x100
_PAUSE_S = 0.5  # without a frame; then sound is looked after by itself
_STREAM_TYPES = {"h264": 0x1B, "hevc": 0x24}


class EncodeStage(Stage):
    """Encode, mux, hand over to the publisher."""

    def __init__(
        self,
        config: EncodeConfig,
        source: Handover[Frame],
        route: SoundRoute,
        outbox: Outbox[Packet | None],
        stats: Stats,
        *,
        tracks: Callable[[], list[Track]],
        delay: Callable[[], float],
        on_failed: Callable[[Failed], None],
        on_error: Callable[[str, Exception], None],
    ) -> None:
        """``tracks``: of sound that are to come; ``delay``: by how many seconds they may be later
        than their video."""
        super().__init__("encode", on_error)
        self._config = config
        self._source = source
        self._route = route
        self._tracks = tracks
        self._outbox = outbox
        self._stats = stats
        self._on_failed = on_failed
        self._drops = Drops()
        self._encoder = Encoder(config)
        self._video = ElementaryStream(
            _VIDEO_PID, _STREAM_TYPES[config.codec], "video", config.codec
        )
        self._sound = SoundOut(config, _VIDEO_PID + 1, delay)
        self._muxer = Muxer([self._video])
        self._begun = False
        self._has_video = False
        self._announced: list[ElementaryStream] = []
        self._segment_pts = 0  # where the segment began, of sound alone
        route.on_alone = source.poke

    @property
    def encoder_name(self) -> str | None:
        return self._encoder.name or None

    def work(self) -> None:
        try:
            while (frame := self._next()) is not None:
                for one in self._encode(frame):
                    self._write(one)
            for one in self._encoder.flush():
                self._write(one)
            if self._begun or self._route.alone:
                self._write_sound(self._route.rest())
                self._put_sound(self._sound.flush())
            self._outbox.put(None)
        except Closed:
            pass  # the publisher's side has gone first and knows why
        finally:
            self._encoder.close()
            self._sound.close()

    def abort(self) -> None:
        self._source.close()

    def dropped(self) -> dict[str, int]:
        """Frames that could not be encoded, by cause."""
        return self._drops.snapshot()

    def _next(self) -> Frame | None:
        """The next frame; sound whose video has ceased does not wait for it any longer."""
        while True:
            try:
                return self._source.get(_PAUSE_S if self._begun else None)
            except queue.Empty:
                if self._route.alone:
                    self._write_sound(self._route.rest())
                elif self._begun:
                    self._write_sound(self._route.overdue())

    def _encode(self, frame: Frame) -> list[EncodedFrame]:
        begun = self.busy_since = time.monotonic()
        try:
            encoded = self._encoder.encode(frame)
        except EncodeFailed as error:  # of this frame; the next one gets a new encoder
            self._drops.add("encode")
            self._on_failed(Failed("encode", str(error)))
            return []
        finally:
            self.busy_since = None
        self._stats.encode.add(time.monotonic() - begun)
        return encoded

    def _write(self, frame: EncodedFrame) -> None:
        data = b""
        if frame.keyframe:
            data = self._begin_segment(with_video=True)
        data += self._muxer.write(
            _VIDEO_PID, frame.data, frame.pts, frame.dts, keyframe=frame.keyframe
        )
        sent = SentFrame(frame.arrived, frame.segment, frame.source_pts, frame.pts)
        self._put(data, frame.keyframe, sent)
        self._write_sound(self._route.until(frame.pts))
        self._put_sound(self._sound.fill(frame.pts))

    def _begin_segment(self, *, with_video: bool) -> bytes:
        """The tables. Sound that the source has added stands in them before it comes."""
        self._sound.announce(self._tracks())
        self._has_video = self._has_video or with_video
        self._begun = True
        return self._tables()

    def _tables(self) -> bytes:
        self._announced = self._sound.streams
        self._muxer.set_streams([*([self._video] if self._has_video else ()), *self._announced])
        return self._muxer.tables()

    def _write_sound(self, all_held: list[Held]) -> None:
        for held in all_held:
            self._put_sound(self._sound.units(held))

    def _put_sound(self, units: list[OutUnit]) -> None:
        for unit in units:
            begins = self._route.alone and (
                not self._begun or unit.pts - self._segment_pts >= self._config.gop_s * CLOCK
            )
            data = b""
            if begins:
                data = self._begin_segment(with_video=False)
                self._segment_pts = unit.pts
            elif unit.stream not in self._announced:
                data = self._tables()  # it appeared within this segment
            data += self._muxer.write(
                unit.stream.pid, unit.data, unit.pts, stream_id=unit.stream_id
            )
            source = unit.source
            sent = SentSound(source.segment, source.source_pts, unit.pts) if source else None
            self._put(data, begins, sent)

    def sound_counts(self) -> SoundCounts:
        return self._sound.counts

    def _put(self, data: bytes, begins: bool, sent: Sent | None) -> None:
        self._outbox.put(Packet(data, begins, sent), len(data))
