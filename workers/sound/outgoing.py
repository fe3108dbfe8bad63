"""The stream's tracks of sound as they leave: gaps filled with silence, samples encoded.

Used from the encode thread, which muxes what it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from comfytrickle.messages import EncodeConfig
from comfytrickle.mpegts.units import CLOCK, AccessUnit, ElementaryStream
from workers.sound.encode import SoundEncoder
from workers.sound.framing import BadSound, CodedFrame, split
from workers.sound.gaps import Continuity
from workers.sound.intake import Track
from workers.sound.route import Held
from workers.sound.silence import silent_unit
from workers.sound.sound import Sound

# A player waits for sound that its video has and that does not come; so long is left to a source
# whose sound comes late by nature.
_HOLD_TICKS = 2 * CLOCK
_MAX_HOLD_TICKS = 10 * CLOCK

_NO_SOURCE = 0  # Held.track of what a workflow makes for a source without sound
_PRIVATE_PES = 0x06  # stream type of Opus


@dataclass(frozen=True, slots=True)
class OutUnit:
    """One PES packet. ``source``: what it is of; None for silence that was put in."""

    stream: ElementaryStream  # as it leaves
    data: bytes
    pts: int
    source: Held | None

    @property
    def stream_id(self) -> int:
        """Of the PES header (ISO/IEC 13818-1 table 2-22); what is passed on keeps its own."""
        if self.source is not None and isinstance(self.source.what, AccessUnit):
            return self.source.what.stream_id
        return 0xBD if self.stream.stream_type == _PRIVATE_PES else 0xC0


@dataclass(slots=True)
class _Verbatim:
    """A track whose units leave as they came."""

    stream: ElementaryStream
    continuity: Continuity
    like: CodedFrame | None = None  # silence has to be like this


@dataclass(slots=True)
class _Encoded:
    stream: ElementaryStream
    encoder: SoundEncoder
    end: int | None = None  # of the sound that was taken, in the output
    last: Held | None = None


@dataclass(slots=True)
class SoundCounts:
    """``late``: units in whose place silence had gone out."""

    silence: int = 0
    late: int = 0


class SoundOut:
    """``delay``: seconds that a workflow's pieces take to be complete."""

    def __init__(self, config: EncodeConfig, first_pid: int, delay: Callable[[], float]) -> None:
        self._codec = "opus" if config.audio == "opus" else "aac"
        self._off = config.audio == "none"
        self._bitrate = config.audio_bitrate
        self._next_pid = first_pid
        self._delay = delay
        self._verbatim: dict[int, _Verbatim] = {}  # by the source's PID
        self._encoded: dict[int, _Encoded] = {}
        self._active: dict[int, _Verbatim | _Encoded] = {}  # how each track left last
        self._present: set[int] = set()  # tracks that the source has now
        self._hold = _HOLD_TICKS
        self.counts = SoundCounts()

    @property
    def streams(self) -> list[ElementaryStream]:
        """All that was announced so far."""
        tracks: list[_Verbatim | _Encoded] = [*self._verbatim.values(), *self._encoded.values()]
        by_pid = {track.stream.pid: track.stream for track in tracks}
        return [by_pid[pid] for pid in sorted(by_pid)]

    def announce(self, tracks: Sequence[Track]) -> None:
        """These will come: so they can stand in the tables before their first unit."""
        self._present = {track.stream.pid for track in tracks} | {_NO_SOURCE}
        for track in tracks:
            if track.encoded:
                self._made(track.stream.pid)
            else:
                self._plain(track.stream)

    def units(self, held: Held) -> list[OutUnit]:
        """What is to be written for it. ``streams`` may have grown."""
        if self._off:
            return []
        before = self._active.get(held.track)
        if isinstance(held.what, Sound):
            encoded = self._active[held.track] = self._made(held.track)
            return self._encode(encoded, held.what, held)
        verbatim = self._active[held.track] = self._plain(held.what.stream)
        out: list[OutUnit] = []
        if isinstance(before, _Encoded):
            # Its sound ends here. What this track gave out before that says nothing any more.
            out += self._end(before)
            verbatim.continuity = Continuity()
        return [*out, *self._pass_on(verbatim, held, held.what)]

    def fill(self, video_pts: int) -> list[OutUnit]:
        """Silence for tracks that lag far behind the video that goes out."""
        out: list[OutUnit] = []
        limit = video_pts - self._hold - int(self._delay() * CLOCK)
        for pid in self._present & self._active.keys():
            track = self._active[pid]
            if isinstance(track, _Verbatim):
                out += self._silence(track, track.continuity.until(limit))
            elif track.end is not None and limit > track.end:
                missing = (limit - track.end) * track.encoder.rate // CLOCK
                zeros = np.zeros((1, missing), np.float32)
                out += self._encode(track, Sound(zeros, track.encoder.rate, track.end), None)
        return out

    def flush(self) -> list[OutUnit]:
        """What the encoders still hold."""
        return [unit for track in self._encoded.values() for unit in self._end(track)]

    def _end(self, track: _Encoded) -> list[OutUnit]:
        track.end = None
        units = track.encoder.flush()
        return [OutUnit(track.stream, one.data, one.pts, track.last) for one in units]

    def close(self) -> None:
        for track in self._encoded.values():
            track.encoder.close()

    # --- verbatim -----------------------------------------------------------------------------

    def _plain(self, stream: ElementaryStream) -> _Verbatim:
        track = self._verbatim.get(stream.pid)
        if track is None or not _is_alike(track.stream, stream):
            ours = replace(stream, pid=self._pid_for(stream.pid, stream))
            track = self._verbatim[stream.pid] = _Verbatim(ours, Continuity())
        return track

    def _pass_on(self, track: _Verbatim, held: Held, unit: AccessUnit) -> Iterator[OutUnit]:
        try:
            stream = unit.stream
            frames = split(stream.codec or "", unit.data, stream.descriptors)
        except BadSound:
            frames = []  # whoever decodes it may know better; it is passed on in any case
        like = next((frame for frame in reversed(frames) if frame.samples), None)
        if like is not None:
            track.like = like
            if track.continuity.late(held.pts):
                # The silence was out before it. It was taken for missing too early.
                self.counts.late += 1
                self._hold = min(2 * self._hold, _MAX_HOLD_TICKS)
                return
            step = Fraction(like.samples * CLOCK, like.rate)
            samples = sum(frame.samples for frame in frames)
            duration = Fraction(samples * CLOCK, like.rate)
            yield from self._silence(track, track.continuity.unit(held.pts, duration, step))
        yield OutUnit(track.stream, unit.data, held.pts, held)

    def _silence(self, track: _Verbatim, times: Sequence[int]) -> Iterator[OutUnit]:
        if not times or track.like is None:
            return
        data = silent_unit(track.like, track.stream.codec or "")
        if data is None:
            return
        for pts in times:
            self.counts.silence += 1
            yield OutUnit(track.stream, data, pts, None)

    # --- encoded ------------------------------------------------------------------------------

    def _made(self, source_pid: int) -> _Encoded:
        track = self._encoded.get(source_pid)
        if track is None:
            encoder = SoundEncoder(self._codec, bitrate=self._bitrate)
            pid = self._pid_for(source_pid, encoder.stream(self._next_pid))
            track = self._encoded[source_pid] = _Encoded(encoder.stream(pid), encoder)
        return track

    def _encode(self, track: _Encoded, sound: Sound, held: Held | None) -> list[OutUnit]:
        track.end = max(track.end or sound.end_pts, sound.end_pts)
        track.last = held or track.last
        units = [
            OutUnit(track.stream, one.data, one.pts, held) for one in track.encoder.encode(sound)
        ]
        if held is None:
            self.counts.silence += len(units)
        return units

    def _pid_for(self, source_pid: int, stream: ElementaryStream) -> int:
        """A track that leaves in another way, but in the same codec, is the same to a player."""
        for track in (self._verbatim.get(source_pid), self._encoded.get(source_pid)):
            if track is not None and _is_alike(track.stream, stream):
                return track.stream.pid
        self._next_pid += 1
        return self._next_pid - 1


def _is_alike(one: ElementaryStream, other: ElementaryStream) -> bool:
    return (one.stream_type, one.descriptors) == (other.stream_type, other.descriptors)
