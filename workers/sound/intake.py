"""What becomes of each unit of sound that the source brings. Used from the decode thread.

It goes on as it came, or is decoded: for the workflow to hear, or to leave in another codec.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from comfytrickle.mpegts.units import AccessUnit, ElementaryStream
from workers.sound.decode import SoundDecoder
from workers.sound.ear import Ear
from workers.sound.errors import UnsupportedSound
from workers.sound.route import Held, SoundRoute
from workers.sound.sound import Sound
from workers.stages.stats import Drops, Stats

log = logging.getLogger(__name__)

_MAX_UNDECIDED = 3000  # units; a minute of sound

AUTO, OFF = "auto", "none"


@dataclass(frozen=True, slots=True)
class Track:
    """One of the source's tracks. ``encoded``: it does not leave as it came."""

    stream: ElementaryStream
    encoded: bool


class Intake:
    """``wanted``: how sound is to leave (EncodeConfig.audio).

    The first track of the program is the one that the workflow hears.
    """

    def __init__(self, wanted: str, route: SoundRoute, ear: Ear, stats: Stats) -> None:
        self._wanted = wanted
        self.route = route
        self._ear = ear
        self._stats = stats
        self._streams: tuple[ElementaryStream, ...] = ()
        self._decoders: dict[int, tuple[ElementaryStream, SoundDecoder]] = {}
        self._origins: dict[int, tuple[int, int]] = {}  # segment and pts of the last decoded unit
        self._unsupported: set[ElementaryStream] = set()
        self._damaged = 0  # of decoders that were closed
        self._undecided: deque[tuple[AccessUnit, int, int]] = deque()
        self._drops = Drops()

    def program(self, streams: Sequence[ElementaryStream]) -> None:
        """All streams of the source from here on."""
        self._streams = tuple(s for s in streams if s.kind == "audio")

    def lead_pid(self) -> int:
        """Of the track that the workflow hears; 0: the source has no sound."""
        streams = self._streams
        return streams[0].pid if streams else 0

    def describe(self) -> dict[str, Any] | None:
        """How the first track goes, for the status; None: there is no sound. What a workflow
        makes of silence, for a source without any, is of no track."""
        streams = self._streams
        if not streams:
            return {"codec_in": None, "tracks": 0, "way": "workflow"} if self._ear.makes else None
        if self._ear.makes:
            way = "workflow"
        elif self._wanted == OFF:
            way = "off"
        else:
            way = "passed on" if self._fits(streams[0]) else "encoded"
        return {"codec_in": streams[0].codec, "tracks": len(streams), "way": way}

    def tracks(self) -> list[Track]:
        """Those that leave, as they leave by what is known now. Any thread."""
        streams = self._streams
        if not self._ear.settled or self._wanted == OFF:
            return []
        made = streams[0] if streams and self._ear.makes else None
        return [Track(s, encoded=s is made or not self._fits(s)) for s in streams]

    def _fits(self, stream: ElementaryStream) -> bool:
        return self._wanted in (AUTO, stream.codec)

    def take(self, unit: AccessUnit, pts: int, segment: int) -> None:
        """``pts``: on the output's timeline."""
        self._stats.audio_in += 1
        self._undecided.append((unit, pts, segment))
        if len(self._undecided) > _MAX_UNDECIDED:
            self._undecided.popleft()
            self._drops.add("stale")
        self._go_on()

    def _go_on(self) -> None:
        while self._ear.settled and self._undecided:
            self._pass_on(*self._undecided.popleft())

    def _pass_on(self, unit: AccessUnit, pts: int, segment: int) -> None:
        stream, pid = unit.stream, unit.stream.pid
        source_pts = -1 if unit.pts is None else unit.pts
        made = self._ear.makes and self._is_lead(pid)
        leaves = self._wanted != OFF and not made
        if leaves and self._fits(stream):
            self.route.put(Held(pid, pts, unit, segment, source_pts))
        elif not leaves and not self._is_heard(pid):
            self._drops.add("off")
        if self._is_heard(pid) or (leaves and not self._fits(stream)):
            self._origins[pid] = segment, source_pts
            decoder = self._decoder(stream)
            if decoder is None:
                self._drops.add("unsupported")
            else:
                self._give(stream, decoder.decode(unit.data, pts), made=made)
        elif pid in self._decoders:
            self._end_decoder(pid)

    def _give(self, stream: ElementaryStream, sounds: list[Sound], *, made: bool) -> None:
        """Samples, to whoever waits for them."""
        pid = stream.pid
        for sound in sounds:
            heard = self._is_lead(pid) and self._ear.put(sound, made=made)
            leaves = not heard if made else not self._fits(stream)
            if leaves and self._wanted != OFF:
                self.route.put(Held(pid, sound.pts, sound, *self._origins[pid]))

    def _is_lead(self, pid: int) -> bool:
        return pid == self.lead_pid()

    def _is_heard(self, pid: int) -> bool:
        return self._ear.listens and self._is_lead(pid)

    def drop_damaged(self) -> None:
        self._stats.audio_in += 1
        self._drops.add("damaged")

    def end(self) -> None:
        """No more units come."""
        self._go_on()
        for pid in list(self._decoders):
            self._end_decoder(pid)
        self._ear.end()

    def _decoder(self, stream: ElementaryStream) -> SoundDecoder | None:
        """None: there is none for it."""
        known, decoder = self._decoders.get(stream.pid, (None, None))
        if decoder is None or known != stream:
            if stream in self._unsupported:
                return None
            self._end_decoder(stream.pid)
            try:
                decoder = SoundDecoder(stream.codec or "", stream.descriptors)
            except UnsupportedSound as error:
                log.error("the sound of PID %d: %s", stream.pid, error)
                self._unsupported.add(stream)
                return None
            self._decoders[stream.pid] = stream, decoder
        return decoder

    def _end_decoder(self, pid: int) -> None:
        if pid in self._decoders:
            stream, decoder = self._decoders.pop(pid)
            made = self._ear.makes and self._is_lead(pid)
            self._give(stream, decoder.flush(), made=made)
            self._damaged += decoder.damaged
            decoder.close()

    def dropped(self) -> dict[str, int]:
        """Units that did not go on, by cause."""
        total = self._drops.snapshot()
        damaged = self._damaged + sum(d.damaged for _, d in list(self._decoders.values()))
        for cause, count in (("damaged", damaged), ("stale", self.route.stale)):
            if count:
                total[cause] = total.get(cause, 0) + count
        return total
