"""A descriptor that travels to a new worker process as one of its arguments."""

from __future__ import annotations

from typing import Any

from multiprocess import reduction


class Inherited:
    """Pickled while a process is started, and only then: there it is a duplicate of its own.

    On the side that starts, the descriptor stays the caller's.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (reduction.DupFd(self.descriptor),)


def _rebuild(duplicate: Any) -> Inherited:
    return Inherited(duplicate.detach())
