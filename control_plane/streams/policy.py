"""When a worker is replaced, and when no more. Pure: the clock is passed in.

A stream has a budget of restarts that fills up again with time: each death spends one, each
``forgive_s`` that passes gives one back. The first death after a calm while is answered at once, so
that the stream is back before its viewers notice; deaths in a row wait ever longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from comfytrickle.states import ExitCause

# A worker that ended in one of these ways was asked to, or had nothing more to do.
GOOD_ENDS = frozenset({ExitCause.CLEAN, ExitCause.REQUESTED, ExitCause.SOURCE_ENDED})

# What a worker gave up for: another worker would meet the same. Failed.kind.
_HOPELESS_KINDS = frozenset({"source", "sink", "workflow", "startup"})


class Next(Enum):
    """What happens to the stream."""

    END = "end"  # it is over, as it should be
    FAIL = "fail"  # it is over: a new worker would fail as well
    RESTART = "restart"
    CRASH_LOOP = "crash_loop"  # it is over: the budget is spent


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """``budget`` restarts in a row; one is forgiven for each ``forgive_s`` seconds."""

    budget: int = 5
    forgive_s: float = 30.0
    first_pause_s: float = 0.25  # before the second restart in a row; the first one is at once
    longest_pause_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Decision:
    """``pause_s``: before the restart."""

    next: Next
    pause_s: float = 0.0


class RestartPolicy:
    """One for each stream, for as long as it lives."""

    def __init__(self, limits: RestartLimits | None = None) -> None:
        self._limits = limits or RestartLimits()
        self._spent = 0.0
        self._at = 0.0

    def spent(self, now: float) -> float:
        """Restarts that are not forgiven yet."""
        return max(0.0, self._spent - (now - self._at) / self._limits.forgive_s)

    def ended(
        self, cause: ExitCause, failed_kind: str | None, now: float, *, final: bool = False
    ) -> Decision:
        """A worker of the stream ended. ``failed_kind``: why it gave up itself, if it did;
        ``final``: and said that no other is wanted."""
        if cause in GOOD_ENDS:
            return Decision(Next.END)
        if final or failed_kind in _HOPELESS_KINDS:
            return Decision(Next.FAIL)
        spent = self.spent(now)
        if spent + 1 > self._limits.budget:
            return Decision(Next.CRASH_LOOP)
        self._spent, self._at = spent + 1, now
        in_a_row = round(spent)  # the last one counts for half of its time
        if in_a_row == 0:
            return Decision(Next.RESTART)
        pause = self._limits.first_pause_s * 2 ** (in_a_row - 1)
        return Decision(Next.RESTART, min(pause, self._limits.longest_pause_s))
