"""Nodes that fail while a stream runs: counted, reported, and what follows of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from comfytrickle.messages import Failed, StreamConfig
from workers.device import DeviceFailed, device_problem
from workers.engine.protocol import NodeFailed
from workers.stages.node_errors import GaveOut, NodeErrors, Reaction
from workers.stages.stats import Stats

log = logging.getLogger(__name__)

# The same failure again and again is logged and reported once in this many seconds.
_REPORT_EVERY_S = 2.0


class NodeTrouble:
    """One for frames and one for pieces of sound (``what``). Used from the engine thread."""

    def __init__(
        self,
        what: str,
        config: StreamConfig,
        stats: Stats,
        on_failed: Callable[[Failed], None],
    ) -> None:
        self._what = what
        self._errors = NodeErrors(config.on_error, config.on_error_after)
        self._stats = stats
        self._on_failed = on_failed
        self._reported_at = 0.0
        self._unreported = 0

    def change(self, on_error: str | None, after: int | None) -> None:
        self._errors.change(on_error, after)

    def worked(self) -> None:
        """It went well, or another workflow runs from here on."""
        self._errors.worked()

    def met(self, error: NodeFailed) -> Reaction:
        """One failed. Returns DROP or PASS; raises GaveOut when this worker is to try no other one,
        DeviceFailed when no later one can fare better."""
        self._stats.node_errors += 1
        reaction = self._errors.failed(out_of_memory=error.out_of_memory)
        gives_out = reaction in (Reaction.REPLACE, Reaction.END)
        self._report(error, at_once=gives_out)
        check_device(error)
        if gives_out:
            final = reaction is Reaction.END
            raise GaveOut(error, self._errors.in_a_row, final=final, what=self._what) from None
        return reaction

    def _report(self, error: NodeFailed, *, at_once: bool) -> None:
        now = time.monotonic()
        self._unreported += 1
        if now - self._reported_at < _REPORT_EVERY_S and not at_once:
            return
        log.error("%s (%d %ss failed since the last report)\n%s", error, self._unreported,
                  self._what, error.traceback)  # fmt: skip
        self._reported_at, self._unreported = now, 0
        if not at_once:  # else the stage's own end tells it
            self._on_failed(
                Failed("node", error.message, error.node_id, error.node_type, at=time.time())
            )


def check_device(error: Exception) -> None:
    """Raises DeviceFailed when no later frame can fare better."""
    problem = device_problem()
    if problem is not None:
        raise DeviceFailed(f"{problem}; met in: {error}") from None
