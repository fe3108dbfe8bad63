"""Whether a running worker is hung. Pure: the clock is passed in.

A dead process is seen by its end. This is for one that lives: it says nothing any more, or it says
that one of its threads has been at one and the same frame for too long. Counting frames would not
do: a source may pause, and a decoder may hold frames back until the next one comes.
"""

from __future__ import annotations

from dataclasses import dataclass

from comfytrickle.messages import Status
from comfytrickle.states import State


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds. ``silent``: without a Status (they come every half second). ``stuck``: at one frame.
    ``first_frame``: the limit of both as long as no frame has come out: kernels are compiled then,
    and what loads and compiles may hold the interpreter's lock.
    Loading has a deadline of its own (Budgets.ready in control_plane/processes/budgets.py)."""

    silent: float = 5.0
    first_frame: float = 60.0
    stuck: float = 10.0


class Watchdog:
    """One for each worker, from its Ready on. ``now`` is time.monotonic()."""

    def __init__(self, deadlines: Deadlines, now: float) -> None:
        self._deadlines = deadlines
        self._heard_at = now
        self._seq = -1
        self._status: Status | None = None

    def heard(self, status: Status, now: float) -> None:
        """A Status came, or is shown again."""
        if status.seq != self._seq:
            self._seq, self._heard_at, self._status = status.seq, now, status

    def excuse(self, seconds: float) -> None:
        """For so long nobody could listen: the control plane itself was stopped or starved."""
        self._heard_at += seconds

    def verdict(self, now: float, *, loading: bool = False) -> str | None:
        """Why it has to be ended, in words; None while all is well. ``loading``: it has been asked
        to load another workflow beside the one it runs."""
        silent = now - self._heard_at
        status = self._status
        has_output = status is not None and status.counters.came_out > 0
        patience = self._deadlines.silent
        if loading or not has_output:
            patience = max(patience, self._deadlines.first_frame)
        if silent > patience:
            return f"no status for {silent:.1f} s"
        if status is None or status.busy_s is None or status.state is State.DRAINING:
            return None
        limit = self._deadlines.stuck if has_output else self._deadlines.first_frame
        busy = status.busy_s + silent
        if busy > limit:
            return f"the {status.busy_stage} thread has been at one frame for {busy:.1f} s"
        return None
