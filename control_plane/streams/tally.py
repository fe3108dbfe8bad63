"""What this control plane has counted since its start, over all streams. Totals only ever grow: a
stream that has ended, and a worker that took what it had counted with it, take nothing away.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any

from comfytrickle.messages import Counters
from control_plane.processes.worker import Worker
from control_plane.shapes import totals
from control_plane.streams.stream import Stream


class Tally:
    """Owns the totals. Nothing in it has a stream's name: it stays as small as it is."""

    def __init__(self) -> None:
        self.accepted = 0  # starts
        self.repeated = 0  # starts of a stream that ran already
        self.refused: Counter[str] = Counter()  # starts, by reason
        self.ended: Counter[str] = Counter()  # streams, by exit cause
        self.worker_ends: Counter[str] = Counter()  # of stream workers, by exit cause
        self._restarts = 0
        self._past = Counters()  # of streams that have ended
        self._peaks: weakref.WeakKeyDictionary[Stream, Counters] = weakref.WeakKeyDictionary()
        self._counted: weakref.WeakSet[Worker] = weakref.WeakSet()

    # --- told by whoever sees it --------------------------------------------------------------

    def worker_ended(self, worker: Worker | None) -> None:
        """Counts each worker once, whoever tells of its end."""
        if worker is not None and worker.exit_cause is not None and worker not in self._counted:
            self._counted.add(worker)
            self.worker_ends[worker.exit_cause.value] += 1

    def stream_ended(self, stream: Stream) -> None:
        """Its last word; it is not among the active ones any more."""
        worker = stream.worker
        self.worker_ended(worker)
        if worker is not None and worker.exit_cause is not None:
            self.ended[worker.exit_cause.value] += 1
        self._past = totals.add(self._past, self._peak(stream))
        self._peaks.pop(stream, None)
        self._restarts += stream.restarts

    # --- asked --------------------------------------------------------------------------------

    def counters(self, active: Iterable[Stream]) -> Counters:
        """Of all streams that ever were."""
        total = self._past
        for stream in active:
            total = totals.add(total, self._peak(stream))
        return total

    def restarts(self, active: Iterable[Stream]) -> int:
        return self._restarts + sum(stream.restarts for stream in active)

    def _peak(self, stream: Stream) -> Counters:
        """The most that the stream ever had of each. When a worker dies, frames that were on their
        way do not count as come in any more; a total that was told must not be taken back."""
        status = stream.facts().status
        now = status.counters if status is not None else Counters()
        before = self._peaks.get(stream)
        if before is not None:
            now = _most(before, now)
        self._peaks[stream] = now
        return now


def _most(a: Counters, b: Counters) -> Counters:
    """The larger one of each, causes one by one."""
    most: dict[str, Any] = {}
    for name in Counters.__struct_fields__:
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, dict):
            most[name] = {key: max(x.get(key, 0), y.get(key, 0)) for key in {**x, **y}}
        else:
            most[name] = max(x, y)
    return Counters(**most)
