"""First thread: transport stream in, RGB frames out into the slot.

It owns the demuxer, the timeline and the decoder.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from comfytrickle.messages import StreamConfig
from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.packets import signed_difference
from comfytrickle.mpegts.silence import SILENCE_S
from comfytrickle.mpegts.timeline import Timeline
from comfytrickle.mpegts.units import CLOCK, AccessUnit, ElementaryStream
from workers.ends.outlet import Outlet
from workers.media.decode import NO_PTS, Decoder
from workers.media.frames import Frame
from workers.media.slot import Slot
from workers.sound.intake import Intake
from workers.stages.items import Chunk, Item, Resize, SegmentEnd, SegmentStart, SourceEnd
from workers.stages.queues import Inbox
from workers.stages.recognition import Recognition
from workers.stages.stage import Stage
from workers.stages.stats import Drops, Stats


class BadSource(Exception):
    """What the source sends cannot be used, now or later."""


# Timestamps up to this far before the last one sent belong to the segment that is read again;
# further back they are of a source that was restarted meanwhile.
_REREAD = 60 * CLOCK


class DecodeStage(Stage):
    """Demux, decode, put the frames on the output's timeline and into the slot."""

    def __init__(
        self,
        config: StreamConfig,
        inbox: Inbox[Item],
        slot: Slot,
        sound: Intake,
        stats: Stats,
        outlet: Outlet,
        on_error: Callable[[str, Exception], None],
    ) -> None:
        super().__init__("decode", on_error)
        self._outlet = outlet
        self._inbox = inbox
        self._slot = slot
        self._sound = sound
        self._stats = stats
        self._demuxer = Demuxer()
        self._program = self._demuxer.streams
        self._recognition = Recognition()
        self._timeline = Timeline()
        self._resume = config.resume_at
        if self._resume is not None and self._resume.source_pts >= 0:
            self._timeline.resume(self._resume.source_pts, self._resume.pts)
        self._segment = -1
        self._decoder: Decoder | None = None
        self._video: ElementaryStream | None = None
        self._size = (config.width, config.height) if config.width and config.height else None
        self._threads = config.encode.threads
        self.drops = Drops()
        self.codec: str | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the frames given to the engine; None before the first."""
        decoder = self._decoder  # the loop asks while the thread may be ending it
        return decoder.size if decoder else self._size

    def work(self) -> None:
        while True:
            item = self._inbox.get(SILENCE_S if self._demuxer.awaiting else None)
            now = time.monotonic()
            match item:
                case Chunk(data, arrived):
                    self._recognition.took(len(data), arrived)
                    self._take(self._demuxer.feed(data, arrived))
                    self._recognise(now)
                case None:
                    self._take(self._demuxer.silence(now))
                case SegmentStart(seq, gap, content_type):
                    self._segment = seq
                    self._recognition.segment_began(content_type)
                    if gap:
                        self._demuxer.discontinuity()
                case SegmentEnd():
                    self._take(self._demuxer.segment_end(now))
                    self._recognition.segment_ended()
                    self._recognise(now)
                case Resize(width, height):
                    self._resize((width, height))
                case SourceEnd(cut):
                    self._take(self._demuxer.flush(now))
                    self._end_decoder()
                    self._sound.end()
                    if not cut:
                        self._recognise(now, ended=True)
                    return

    def abort(self) -> None:
        self._slot.close()

    def _recognise(self, now: float, ended: bool = False) -> None:
        if self._video is None:
            streams = self._demuxer.streams.values()
            problem = self._recognition.problem(streams, now, ended=ended)
            if problem is not None:
                raise BadSource(problem)

    # --- units --------------------------------------------------------------------------------

    def _take(self, units: list[AccessUnit]) -> None:
        if self._demuxer.streams is not self._program:
            self._follow(self._demuxer.streams)
        for unit in units:
            if unit.stream.kind == "video":
                self._take_video(unit)
            elif unit.stream.kind == "audio":
                self._take_sound(unit)

    def _follow(self, program: dict[int, ElementaryStream]) -> None:
        """The source's streams are these from here on."""
        self._program = program
        self._sound.program(list(program.values()))
        kinds = {stream.kind for stream in program.values()}
        alone = "audio" in kinds and "video" not in kinds and self._video is None
        self._stats.alone = self._sound.route.alone = alone

    def _take_sound(self, unit: AccessUnit) -> None:
        if unit.damaged:
            self._sound.drop_damaged()
            return
        pts = self._timeline.audio(unit.pts, unit.stream.pid)
        if self._resume is not None and pts <= self._resume.audio_pts:
            return  # the worker before this one has sent it
        self._stats.sound_in.tick(unit.arrived)
        self._sound.take(unit, pts, self._segment)

    def _take_video(self, unit: AccessUnit) -> None:
        if self._video is None or unit.stream.pid != self._video.pid:
            if self._video is not None and self._video.pid in self._demuxer.streams:
                return  # a second video stream of the program: the first one is ours
            self._choose(unit.stream)
        elif unit.stream.codec != self._video.codec:
            self._choose(unit.stream)
        assert self._decoder is not None
        if not self._was_sent(unit.pts):
            self._stats.frames_in += 1
            self._stats.rate_in.tick(unit.arrived)
        self.busy_since = time.monotonic()
        frames = self._decoder.decode(unit)
        self.busy_since = None
        self._give(frames)

    def _choose(self, stream: ElementaryStream) -> None:
        if stream.codec is None:
            raise BadSource(
                f"the source's video (stream type {stream.stream_type:#04x}) is of an unknown codec"
            )
        size = self.size
        self._end_decoder()
        self._video, self.codec = stream, stream.codec
        self._decoder = Decoder(stream.codec, size, threads=self._threads)

    def _resize(self, size: tuple[int, int]) -> None:
        self._size = size
        if self._decoder is not None:
            self._decoder.resize(size)

    def _end_decoder(self) -> None:
        if self._decoder is None:
            return
        self._give(self._decoder.flush())
        self._size = self._decoder.size  # the stream keeps it, and goes on telling it
        for cause, count in self._decoder.dropped.items():
            self.drops.add(cause, count)
        self._decoder.close()
        self._decoder = None

    def _give(self, frames: list[Frame]) -> None:
        for frame in frames:
            if self._was_sent(frame.pts):
                continue
            frame.segment, frame.source_pts = self._segment, frame.pts
            frame.pts = self._timeline.video(None if frame.pts == NO_PTS else frame.pts)
            self._stats.decode.add(frame.decoded - frame.arrived)
            if self._outlet.watches_input:
                self._outlet.offer_input(frame)
            self._slot.put(frame)

    def _was_sent(self, pts: int | None) -> bool:
        """A replacement worker reads the segment that its predecessor was in from the beginning,
        since decoding has to begin at a keyframe; what was sent of it is not sent again."""
        resume = self._resume
        if resume is None or resume.source_pts < 0 or pts is None or pts == NO_PTS:
            return False
        return -_REREAD <= signed_difference(pts, resume.source_pts) <= 0

    def dropped(self) -> dict[str, int]:
        """Frames lost before the slot, by cause."""
        total = self.drops.snapshot()
        decoder = self._decoder
        for cause, count in (decoder.dropped if decoder else {}).items():
            total[cause] = total.get(cause, 0) + count
        return total
