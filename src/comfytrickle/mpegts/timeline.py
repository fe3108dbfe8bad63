"""Source timestamps (33 bits, they wrap and restart) -> one strictly increasing 64-bit timeline.

Pure. Ticks of 90 kHz throughout (:data:`comfytrickle.mpegts.units.CLOCK`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median_low

from comfytrickle.mpegts.packets import signed_difference
from comfytrickle.mpegts.units import CLOCK

# A source may be silent for a long while and go on by its own clock; that is carried as it is.
# More than this is another clock (a restart that happened to land ahead): carrying it would
# leave a hole that no player plays through.
MAX_JUMP = 3600 * CLOCK
DEFAULT_INTERVAL = CLOCK // 30
# Audio is sent beside video: further behind the video than this it is not on the video's clock.
_AUDIO_LAG = 5 * CLOCK
# After a re-base, audio of before may still come; later than this it cannot be of the old clock.
_OLD_CLOCK = 5 * CLOCK
_RECENT = 15  # intervals that the median is taken over


@dataclass(slots=True)
class _Clock:
    """A source clock: its newest unwrapped time, and what is added to give the output."""

    last: int
    offset: int

    def unwrap(self, pts: int) -> int:
        return self.last + signed_difference(pts, self.last)


@dataclass(slots=True)
class _Track:
    """What one track (video, or one audio pid) has put out."""

    last: int  # output time
    source: int | None = None  # 33-bit source time of it
    interval: int = 0


class Timeline:
    """One for all tracks of a stream. Video leads; the same offset serves audio.

    The first timestamp goes out as it is. ``video`` is called in presentation order: a step back
    of more than half a frame interval is a restart of the source.
    """

    def __init__(self, interval: int = DEFAULT_INTERVAL) -> None:
        self._default = interval
        self._intervals: deque[int] = deque(maxlen=_RECENT)
        self._clock: _Clock | None = None
        self._old: _Clock | None = None
        self._video: int | None = None  # last output
        self._rebased_at = 0  # output time
        self._audio: dict[int, _Track] = {}
        self.rebases = 0

    @property
    def interval(self) -> int:
        """One frame: the median of the recent distances between frames."""
        return median_low(self._intervals) if self._intervals else self._default

    def resume(self, source: int, out: int) -> None:
        """Go on where another timeline ended: the source's ``source`` (33 bits) went out as
        ``out``."""
        self._clock = _Clock(source, out - source)
        self._old = None
        self._video = out
        self._audio.clear()

    def video(self, pts: int | None) -> int:
        """The output time of the next frame. None: the source gave no time, so one interval on."""
        clock = self._clock
        if pts is None:
            out = 0 if self._video is None else self._video + self.interval
            if clock is None:
                self._clock = _Clock(out, 0)
        elif clock is None:
            self._clock = _Clock(pts, 0)
            out = pts
        elif self._video is None:  # audio came first: nothing of the video to compare with
            out = self._first_video(clock, pts)
        else:
            out = self._next_video(clock, self._video, pts)
        self._video = out
        return out

    def audio(self, pts: int | None, pid: int = 0) -> int:
        """The output time of an audio unit of track ``pid``. Without any video, audio leads."""
        track = self._audio.get(pid)
        if track is None:
            track = self._audio[pid] = _Track(self._first_audio(pts), pts)
            return track.last
        step = 0
        if pts is not None and track.source is not None:
            step = signed_difference(pts, track.source)
            if 0 < step <= CLOCK:
                track.interval = step
        if pts is None:
            out = track.last + max(1, track.interval)
        else:
            out = self._later_audio(track, pts, step)
            track.source = pts
        track.last = max(out, track.last + 1)
        return track.last

    # --- video --------------------------------------------------------------------------------

    def _first_video(self, clock: _Clock, pts: int) -> int:
        source = clock.unwrap(pts)
        if abs(source - clock.last) > MAX_JUMP:
            self._rebase(clock, source, clock.last + clock.offset)
        else:
            clock.last = source
        assert self._clock is not None
        return source + self._clock.offset

    def _next_video(self, clock: _Clock, last: int, pts: int) -> int:
        source = clock.unwrap(pts)
        step = source - clock.last
        interval = self.interval
        if step > MAX_JUMP or step < -(interval // 2):
            self._rebase(clock, source, last + interval)
            return last + interval
        if step > 0:
            clock.last = source
            if step <= CLOCK:
                self._intervals.append(step)
        return max(source + clock.offset, last + 1)

    def _rebase(self, clock: _Clock, source: int, out: int) -> None:
        self._old = clock
        self._clock = _Clock(source, out - source)
        self._rebased_at = out
        self.rebases += 1

    # --- audio --------------------------------------------------------------------------------

    def _first_audio(self, pts: int | None) -> int:
        if self._clock is None:
            self._clock = _Clock(pts or 0, 0)
        if pts is None:
            return self._clock.last + self._clock.offset
        return self._map_audio(pts)[0]

    def _map_audio(self, pts: int) -> tuple[int, bool]:
        """(output time, whether a clock is near enough to believe it)."""
        clock = self._clock
        assert clock is not None
        source = clock.unwrap(pts)
        distance = source - clock.last
        old = self._old
        if old is not None and clock.last + clock.offset - self._rebased_at > _OLD_CLOCK:
            old = self._old = None
        if old is not None:
            before = old.unwrap(pts)
            if abs(before - old.last) < abs(distance):
                clock, source, distance = old, before, before - old.last
        return source + clock.offset, -_AUDIO_LAG <= distance <= MAX_JUMP

    def _later_audio(self, track: _Track, pts: int, step: int) -> int:
        out, near = self._map_audio(pts)
        if near and self._video is not None:
            return out
        if self._video is None and near and step > 0:
            # Audio alone: it is the clock, so that its own wraps are followed.
            assert self._clock is not None
            self._clock.last = self._clock.unwrap(pts)
            return out
        # The source restarted: the video will tell the new clock; until then audio goes on at
        # its own pace. Where there is no video, this is the new clock.
        out = track.last + (step if 0 < step <= CLOCK else max(1, track.interval))
        if self._video is None:
            clock = self._clock
            assert clock is not None
            self._rebase(clock, clock.unwrap(pts), out)
            self._old = None
        return out
