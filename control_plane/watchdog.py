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
    ``first_frame``: at one frame as long as none has come out (kernels are compiled then).
    Loading has a deadline of its own (Budgets.ready in control_plane/budgets.py)."""

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

    def verdict(self, now: float) -> str | None:
        """Why it has to be ended, in words; None while all is well."""
        silent = now - self._heard_at
        if silent > self._deadlines.silent:
            return f"no status for {silent:.1f} s"
        status = self._status
        if status is None or status.busy_s is None or status.state is State.DRAINING:
            return None
        has_output = status.counters.frames_out > 0
        limit = self._deadlines.stuck if has_output else self._deadlines.first_frame
        busy = status.busy_s + silent
        if busy > limit:
            return f"the {status.busy_stage} thread has been at one frame for {busy:.1f} s"
        return None
