"""An engine that is built before there is a stream for it."""

from __future__ import annotations

import torch

from comfytrickle.messages import ConfigureWarm
from comfytrickle.workflow import parse_prompt
from workers.engine.factory import build_engine
from workers.engine.protocol import Engine

_FRAMES = 2  # the first one loads and compiles, the second one runs as all later ones
_SIZE = 512


def warm_engine(wanted: ConfigureWarm) -> Engine:
    """Build it; with a workflow, load that, run frames through it and put it away again.

    The stream loads its own: nodes may hold state, and a stream begins with none. What stays is
    what an engine keeps between loads: imports, models, compiled kernels.
    Raises InvalidInput, InvalidWorkflow, NodeFailed.
    """
    engine = build_engine(wanted.engine)
    if wanted.workflow is None:
        return engine
    try:
        loaded = engine.load(parse_prompt(wanted.workflow))
        try:
            height, width = wanted.height or _SIZE, wanted.width or _SIZE
            frame = torch.full((1, height, width, 3), 0.5, device=engine.device)
            for _ in range(_FRAMES):
                loaded.run(frame.clone())
        finally:
            loaded.close()
    except BaseException:
        engine.close()
        raise
    return engine
