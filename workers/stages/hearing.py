"""Runs pieces of the stream's sound through the sound part of the workflow. Engine thread.

No sound is lost here: a piece that the workflow fails at, or has no time for, goes on as it came.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

import torch

from comfytrickle.mpegts.units import CLOCK
from workers.engine.live import LiveWorkflow
from workers.engine.protocol import Audio, LoadedWorkflow, NodeFailed, RunContext
from workers.sound.ear import Ear
from workers.sound.pieces import fit
from workers.sound.route import Held, SoundRoute
from workers.sound.sound import Sound
from workers.stages.stage import Stage
from workers.stages.stats import Stats

log = logging.getLogger(__name__)

# A workflow that is so far behind is slower than the sound: it will never hear all of it.
_MAX_BEHIND_S = 5.0
_MAX_PIECES = 3  # of long ones
_MAX_HEARD_TICKS = 30 * CLOCK  # of pieces that no frame has asked for yet


class Hearing:
    """``stage``: whose thread this is. ``lead``: the PID of the track that is heard (0: the source
    has none). ``on_failed`` is told of each piece that fails, and may raise."""

    def __init__(
        self,
        ear: Ear,
        route: SoundRoute,
        stats: Stats,
        stage: Stage,
        lead: Callable[[], int],
        *,
        on_taken: Callable[[RunContext, int], None],
        on_failed: Callable[[NodeFailed], None],
    ) -> None:
        self._ear = ear
        self._route = route
        self._stats = stats
        self._stage = stage
        self._lead = lead
        self._on_taken = on_taken
        self._on_failed = on_failed
        self._heard: deque[tuple[int, Audio]] = deque()

    def follow(self, workflow: LiveWorkflow, before: LiveWorkflow | None = None) -> None:
        """This one is run from now on. What was heard for the one ``before`` goes through that."""
        left = self._ear.listen(workflow.piece_s, makes=workflow.makes_sound)
        if before is not None:
            for piece in left:
                self._take(before, piece, untouched=False)
        self._heard.clear()

    def frame_came(self, pts: int) -> None:
        """The video is there."""
        self._ear.silence_until(pts)

    def at(self, pts: int) -> Audio | None:
        """The piece that the picture of this time reads: the last one that begins before it, as far
        as it was heard. None: there is none."""
        heard = self._heard
        while len(heard) > 1 and heard[1][0] <= pts:
            heard.popleft()
        return heard[0][1] if heard and heard[0][0] <= pts else None

    def hear(self, workflow: LiveWorkflow, *, untouched: bool = False) -> None:
        """All complete pieces. ``untouched``: no node is to run any more."""
        while (piece := self._ear.take()) is not None:
            self._take(workflow, piece, untouched=untouched)

    def _take(self, workflow: LiveWorkflow, piece: Sound, *, untouched: bool) -> None:
        self._remember(workflow, piece)
        made = None
        if workflow.sound is not None and not untouched:
            if self._ear.waiting_s > max(_MAX_BEHIND_S, _MAX_PIECES * workflow.piece_s):
                self._stats.audio_unheard += 1
            else:
                made = self._run(workflow.sound, piece)
        if workflow.makes_sound:
            sound = piece if made is None else made
            self._route.put(Held(self._lead(), sound.pts, sound))

    def _run(self, part: LoadedWorkflow, piece: Sound) -> Sound | None:
        """None: as it came."""
        context = RunContext()
        self._stage.busy_since = time.monotonic()
        try:
            made = part.hear(_audio(piece), context)
        except NodeFailed as error:
            self._on_failed(error)
            return None
        finally:
            self._stage.busy_since = None
        self._on_taken(context, piece.pts)
        if made is None:
            return None
        # What is beyond the piece's own time would put the sound out of step with the picture.
        return fit(made["waveform"][0].numpy(), made["sample_rate"], piece)

    def _remember(self, workflow: LiveWorkflow, piece: Sound) -> None:
        """For the picture, whose frames may be later."""
        heard = self._heard
        if workflow.picture is not None:
            heard.append((piece.pts, _audio(piece)))
        while heard and heard[-1][0] - heard[0][0] > _MAX_HEARD_TICKS:
            heard.popleft()


def _audio(piece: Sound) -> Audio:
    # A copy: nodes may write to it, or keep it.
    return {"waveform": torch.from_numpy(piece.samples.copy())[None], "sample_rate": piece.rate}
