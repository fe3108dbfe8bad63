"""A workflow as a stream runs it: what is run for each frame, and what for each piece of sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfytrickle.workflow.model import Workflow
from workers.engine.protocol import Engine, LoadedWorkflow


@dataclass(frozen=True, slots=True)
class LiveWorkflow:
    """Both parts, loaded. Whoever has it closes it.

    ``picture``: None when frames pass untouched. ``sound``: None when nothing is run for a piece.
    ``piece_s``: how long a piece is that the parts want, the picture's ``RunContext.sound`` too;
    0: neither reads sound. ``makes_sound``: what ``sound`` gives takes the place of the stream's
    sound. ``detail``: how the picture runs, as in LoadedWorkflow; with a sound part, how that runs
    under ``sound``.
    """

    picture: LoadedWorkflow | None
    sound: LoadedWorkflow | None
    piece_s: float
    makes_sound: bool
    detail: dict[str, Any]

    def close(self) -> None:
        """Idempotent."""
        for part in (self.picture, self.sound):
            if part is not None:
                part.close()


def load_live(engine: Engine, workflow: Workflow) -> LiveWorkflow:
    """Raises what Engine.load raises; then nothing stays loaded."""
    picture = engine.load(workflow)
    return LiveWorkflow(picture, None, 0.0, False, picture.detail)
