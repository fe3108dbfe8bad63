"""What follows when a node fails while frames run. Pure.

    on_error      a failed frame                     ``after`` of them in a row
    restart       is dropped                         this worker ends, the next one takes over
    passthrough   goes out as it came in, marked     (the same)
    stop          is dropped                         the stream ends

A frame that works makes the count begin anew, so one that fails now and then never ends anything.
Want of memory ends the worker at once, whatever on_error says: what fills the memory is mostly this
process's own, and only its end gives all of it back.
"""

from __future__ import annotations

from enum import Enum

from comfytrickle.errors import ComfytrickleError
from workers.engine.protocol import NodeFailed

RESTART, PASSTHROUGH, STOP = "restart", "passthrough", "stop"


class Reaction(Enum):
    """To one failed frame."""

    DROP = "drop"
    PASS = "pass"  # show the source's picture, marked
    REPLACE = "replace"  # end this worker for another one
    END = "end"  # end the stream


class GaveOut(ComfytrickleError):
    """This worker tries no further frame. ``final``: nor is any other worker to try.

    ``message``: the node's, and how often in a row it failed. ``what``: frame, or piece (of sound).
    """

    def __init__(
        self, error: NodeFailed, in_a_row: int, *, final: bool, what: str = "frame"
    ) -> None:
        super().__init__(f"{error} ({_times(in_a_row, what)})")
        self.node_id = error.node_id
        self.node_type = error.node_type
        self.message = f"{error.message} ({_times(in_a_row, what)})"
        self.final = final


class NodeErrors:
    """Counts failed frames in a row, and says what follows from each. One for each stream."""

    def __init__(self, on_error: str, after: int) -> None:
        """``on_error``: restart, passthrough or stop; ``after``: 1 and up."""
        self._on_error = on_error
        self._after = after
        self.in_a_row = 0

    def change(self, on_error: str | None = None, after: int | None = None) -> None:
        """From the next failed frame on. None leaves a thing as it is; so does the count."""
        self._on_error = on_error or self._on_error
        self._after = after or self._after

    def worked(self) -> None:
        """A frame came through, or another workflow is to run from here on."""
        self.in_a_row = 0

    def failed(self, *, out_of_memory: bool = False) -> Reaction:
        """One more frame."""
        self.in_a_row += 1
        if out_of_memory:
            return Reaction.REPLACE
        if self._on_error == PASSTHROUGH:
            return Reaction.PASS
        if self.in_a_row < self._after:
            return Reaction.DROP
        return Reaction.END if self._on_error == STOP else Reaction.REPLACE


def _times(in_a_row: int, what: str) -> str:
    return f"1 {what}" if in_a_row == 1 else f"{in_a_row} {what}s in a row"
