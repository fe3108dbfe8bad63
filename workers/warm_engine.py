"""An engine that is built before there is a stream for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from comfytrickle.messages import ConfigureWarm
from comfytrickle.workflow import parse_prompt
from workers.engine.factory import build_engine
from workers.engine.live import LiveWorkflow, load_live
from workers.engine.protocol import Engine
from workers.engine.sound import silence

_FRAMES = 2  # the first one loads and compiles, the second one runs as all later ones
_SIZE = 512


@dataclass(slots=True)
class WarmEngine:
    """``workflow``: what it was warmed up with. The stream loads its own, since nodes may hold
    state and a stream begins with none; until it has, this one stays, and with it the models that
    both use. Whoever takes this over closes both."""

    engine: Engine
    workflow: LiveWorkflow | None = None


def warm_engine(wanted: ConfigureWarm) -> WarmEngine:
    """Build it; with a workflow, load that and run frames, and silence, through it.

    Raises InvalidInput, InvalidWorkflow, NodeFailed.
    """
    engine = build_engine(wanted.engine)
    warm = WarmEngine(engine)
    if wanted.workflow is None:
        return warm
    try:
        warm.workflow = load_live(engine, parse_prompt(wanted.workflow))
        height, width = wanted.height or _SIZE, wanted.width or _SIZE
        frame = torch.full((1, height, width, 3), 0.5, device=engine.device)
        for _ in range(_FRAMES):
            if warm.workflow.picture is not None:
                warm.workflow.picture.run(frame.clone())
            if warm.workflow.sound is not None:
                warm.workflow.sound.hear(silence(warm.workflow.piece_s))
    except BaseException:
        if warm.workflow is not None:
            warm.workflow.close()
        engine.close()
        raise
    return warm
