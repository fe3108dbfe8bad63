"""Which streams there are: those that are active, and for a while those that were."""

from __future__ import annotations

import time
from collections import OrderedDict

from comfytrickle.errors import Conflict, NotFound
from control_plane.streams.stream import Stream


class Registry:
    """By id. An id is active from the first moment of its start until its slot is free again, so
    that two starts of one id can only ever make one worker."""

    def __init__(self, keep_finished: int = 100, keep_finished_s: float = 3600.0) -> None:
        self._keep = keep_finished
        self._keep_s = keep_finished_s
        self._active: dict[str, Stream] = {}
        self._finished: OrderedDict[str, Stream] = OrderedDict()

    def add(self, stream: Stream) -> None:
        self._active[stream.id] = stream

    def retire(self, stream: Stream, *, readable: bool) -> None:
        """It is over. ``readable``: it can still be asked for, as long as there is room."""
        del self._active[stream.id]
        if readable:
            self._finished[stream.id] = stream
            self._finished.move_to_end(stream.id)
        self._forget()

    def active_one(self, stream_id: str) -> Stream | None:
        return self._active.get(stream_id)

    def active(self) -> list[Stream]:
        """In order of their start."""
        return list(self._active.values())

    def finished(self) -> list[Stream]:
        """Those still readable, the oldest first."""
        self._forget()
        return list(self._finished.values())

    def ids(self) -> list[str]:
        """Of all that can be asked for."""
        return [*self._active, *self._finished]

    def get(self, stream_id: str) -> Stream:
        """An active one, or one that ended lately. Raises NotFound."""
        self._forget()
        stream = self._active.get(stream_id) or self._finished.get(stream_id)
        if stream is None:
            raise NotFound(f"no stream {stream_id!r}")
        return stream

    def only(self) -> Stream:
        """The only active one. Raises NotFound when there is none, Conflict when several."""
        if len(self._active) == 1:
            return next(iter(self._active.values()))
        if not self._active:
            raise NotFound("no stream is active")
        raise Conflict(f"several streams are active, name one of: {', '.join(self._active)}")

    def _forget(self) -> None:
        oldest = time.time() - self._keep_s
        for stream_id, stream in list(self._finished.items()):
            too_many = len(self._finished) > self._keep
            if not too_many and (stream.ended_at or 0.0) > oldest:
                break
            del self._finished[stream_id]
