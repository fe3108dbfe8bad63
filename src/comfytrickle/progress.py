"""How far a stream has come: written by its worker with all it sends, readable after its death.

An anonymous memfd, handed over by descriptor, so that nothing is left behind whoever dies. 128
bytes, in the machine's own order:

    0   u64  turn      even turns are in slot A, odd ones in slot B; 0: nothing was written yet
    8   u64  flags     bit 0: there is a sink channel that the stream has made, and has to end
    16  slot A: 6 x i64 (the fields of Progress, in order)
    64  slot B: 6 x i64

The writer fills the slot that ``turn`` does not name and then stores ``turn + 1``: an aligned
8-byte store, which a kill cannot tear. So the reader always finds the last complete record. There
is one writer at a time. The reader reads when the writer is dead; from a living one it may get a
record that is one frame old.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import astuple, dataclass

_SIZE = 128
_U64 = struct.Struct("@Q")
_FLAGS_AT = 8
_OWES_SINK = 1
_RECORD = struct.Struct("@6q")
_SLOTS = (16, 64)


@dataclass(frozen=True, slots=True)
class Progress:
    """The last frame that was handed to the sink, and the totals up to it.

    ``segment`` is the source segment it came in; ``source_pts`` its timestamp there (33 bits, -1:
    it had none), ``pts`` its timestamp in the output, both in 90 kHz ticks. ``audio_pts`` is the
    last audio unit's in the output (-1: none). Totals count this worker's own frames.
    """

    segment: int
    source_pts: int
    pts: int
    audio_pts: int = -1
    frames_in: int = 0
    frames_out: int = 0


class ProgressPage:
    """Owns its descriptor and its mapping; ``close`` releases both."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, _SIZE)
        self._turn = _U64.unpack_from(self._map, 0)[0]

    @classmethod
    def create(cls) -> ProgressPage:
        descriptor = os.memfd_create("comfytrickle-progress", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _SIZE)
        return cls(descriptor)

    def write(self, progress: Progress) -> None:
        turn = self._turn + 1
        _RECORD.pack_into(self._map, _SLOTS[turn & 1], *astuple(progress))
        _U64.pack_into(self._map, 0, turn)
        self._turn = turn

    def read(self) -> Progress | None:
        """None: no frame was handed to the sink yet."""
        (turn,) = _U64.unpack_from(self._map, 0)
        if turn == 0:
            return None
        return Progress(*_RECORD.unpack_from(self._map, _SLOTS[turn & 1]))

    def note_sink(self, *, owed: bool) -> None:
        """``owed``: the stream has made its sink channel, and not ended it yet."""
        _U64.pack_into(self._map, _FLAGS_AT, _OWES_SINK if owed else 0)

    def owes_sink(self) -> bool:
        (flags,) = _U64.unpack_from(self._map, _FLAGS_AT)
        return bool(flags & _OWES_SINK)

    def close(self) -> None:
        self._map.close()
        os.close(self.descriptor)
