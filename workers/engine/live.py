"""A workflow as a stream runs it: what is run for each frame, and what for each piece of sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfytrickle.workflow.model import Workflow
from workers.engine.protocol import Engine, LoadedWorkflow
from workers.engine.refusals import refuse
from workers.engine.split import Split, split


@dataclass(frozen=True, slots=True)
class LiveWorkflow:
    """Both parts (see workers.engine.split), loaded. Whoever has it closes it.

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
    if not workflow.reads_sound:
        picture = engine.load(workflow)
        return LiveWorkflow(picture, None, 0.0, False, picture.detail)
    refuse(engine.check(workflow))  # the errors of both parts at once
    parts = split(workflow, engine.output_nodes(workflow))
    return _load_parts(engine, parts)


def live_outlook(engine: Engine, workflow: Workflow) -> dict[str, Any]:
    """The detail of a workflow in which check found nothing: see Engine.outlook."""
    if not workflow.reads_sound:
        return engine.outlook(workflow)
    parts = split(workflow, engine.output_nodes(workflow))
    picture = None if parts.picture is None else engine.outlook(parts.picture)
    sound = None if parts.sound is None else engine.outlook(parts.sound)
    return _joined(picture, sound)


def _load_parts(engine: Engine, parts: Split) -> LiveWorkflow:
    picture = None if parts.picture is None else engine.load(parts.picture)
    try:
        sound = None if parts.sound is None else engine.load(parts.sound)
    except BaseException:
        if picture is not None:
            picture.close()
        raise
    return LiveWorkflow(
        picture,
        sound,
        parts.piece_s,
        parts.sound is not None and parts.sound.sound_output is not None,
        _joined(
            None if picture is None else picture.detail,
            None if sound is None else sound.detail,
        ),
    )


def _joined(picture: dict[str, Any] | None, sound: dict[str, Any] | None) -> dict[str, Any]:
    """One detail, made of the very objects of the parts: an engine goes on writing into these."""
    detail = {} if picture is None else picture
    if sound is not None:
        detail["sound"] = sound
    return detail
