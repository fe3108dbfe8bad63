"""What a stage's end by an error means to the parent. Pure, but for the time of day."""

from __future__ import annotations

import time

from comfytrickle.errors import InvalidWorkflow
from comfytrickle.messages import Failed
from workers.device import DeviceFailed
from workers.engine.protocol import NodeFailed
from workers.media.decode import UnsupportedVideo
from workers.stages.decode import BadSource
from workers.stages.node_errors import GaveOut


def failure_of(stage: str, error: Exception) -> Failed:
    """``stage``: its name. The worker gives up in any case."""
    match error:
        case BadSource() | UnsupportedVideo():
            return Failed("source", str(error), retryable=False)
        case InvalidWorkflow():
            details = "; ".join(f"node {e.node_id}: {e.message}" for e in error.errors)
            return Failed("workflow", f"{error} ({details})", retryable=False)
        case NodeFailed() | GaveOut():
            final = isinstance(error, GaveOut) and error.final
            return Failed("node", error.message, error.node_id, error.node_type, False, final,
                          time.time())  # fmt: skip
        case DeviceFailed():
            return Failed("device", str(error), retryable=False)
    return Failed("internal", f"{stage}: {type(error).__name__}: {error}", retryable=False)
