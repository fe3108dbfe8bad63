"""Third thread: encodes what the engine gave, and muxes it with the audio of its time.

It owns the encoder and the muxer. A new segment begins at every keyframe.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import replace

from comfytrickle.messages import EncodeConfig, Failed
from comfytrickle.mpegts.mux import Muxer
from comfytrickle.mpegts.units import ElementaryStream
from workers.audio import AudioRoute, HeldAudio
from workers.items import Packet, SentFrame
from workers.media.encode import EncodedFrame, EncodeFailed, Encoder
from workers.media.frames import Frame
from workers.queues import Closed, Handover, Outbox
from workers.stages import Stage
from workers.stats import Drops, Stats

_VIDEO_PID = 0x100
_PAUSE_S = 0.5  # without a frame; then audio is looked after by itself
_STREAM_TYPES = {"h264": 0x1B, "hevc": 0x24}


class EncodeStage(Stage):
    """Encode, mux, hand over to the publisher."""

    def __init__(
        self,
        config: EncodeConfig,
        source: Handover[Frame],
        audio: AudioRoute,
        outbox: Outbox[Packet | None],
        stats: Stats,
        *,
        on_failed: Callable[[Failed], None],
        on_error: Callable[[str, Exception], None],
    ) -> None:
        super().__init__("encode", on_error)
        self._config = config
        self._source = source
        self._audio = audio
        self._outbox = outbox
        self._stats = stats
        self._on_failed = on_failed
        self._drops = Drops()
        self._encoder = Encoder(config)
        self._video = ElementaryStream(
            _VIDEO_PID, _STREAM_TYPES[config.codec], "video", config.codec
        )
        self._audio_streams: dict[int, ElementaryStream] = {}  # source pid -> ours
        self._muxer = Muxer([self._video])
        self._begun = False

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
            if self._begun:
                for held in self._audio.rest():
                    self._write_audio(held)
            self._outbox.put(None)
        except Closed:
            pass  # the publisher's side has gone first and knows why
        finally:
            self._encoder.close()

    def abort(self) -> None:
        self._source.close()

    def dropped(self) -> dict[str, int]:
        """Frames that could not be encoded, by cause."""
        return self._drops.snapshot()

    def _next(self) -> Frame | None:
        """The next frame; audio whose video has ceased does not wait for it any longer."""
        while True:
            try:
                return self._source.get(_PAUSE_S if self._begun else None)
            except queue.Empty:
                for held in self._audio.overdue():
                    self._write_audio(held)

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
            self._announce_audio()
            data = self._muxer.tables()
            self._begun = True
        data += self._muxer.write(
            _VIDEO_PID, frame.data, frame.pts, frame.dts, keyframe=frame.keyframe
        )
        sent = SentFrame(frame.arrived, frame.segment, frame.source_pts, frame.pts)
        self._put(Packet(data, frame.keyframe, sent))
        for held in self._audio.until(frame.pts):
            self._write_audio(held)

    def _announce_audio(self) -> None:
        """An audio stream that the source has added stands in the tables from here on."""
        new = [s for s in self._audio.streams if s.pid not in self._audio_streams]
        for stream in new:
            pid = _VIDEO_PID + 1 + len(self._audio_streams)
            self._audio_streams[stream.pid] = replace(stream, pid=pid)
        if new:
            self._muxer.set_streams([self._video, *self._audio_streams.values()])

    def _write_audio(self, held: HeldAudio) -> None:
        stream = self._audio_streams.get(held.unit.stream.pid)
        if stream is None:
            return  # it appeared within this segment; its PID is told with the next one
        data = self._muxer.write(
            stream.pid, held.unit.data, held.pts, None, stream_id=held.unit.stream_id
        )
        self._stats.audio_out += 1
        self._put(Packet(data, False, None, held.pts))

    def _put(self, packet: Packet) -> None:
        self._outbox.put(packet, len(packet.data))
