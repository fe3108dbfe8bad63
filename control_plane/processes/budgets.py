"""How long each step of a worker's life may take, and how much it may say."""

from __future__ import annotations

import time
from dataclasses import dataclass

from comfytrickle.errors import ProtocolError

_FLOOD = 1000  # messages within a second; a busy inspector or a failing encoder sends 60


@dataclass(frozen=True, slots=True)
class Budgets:
    """Seconds that each step of a worker's life may take."""

    hello: float = 20.0  # process asked for -> Hello
    ready: float = 300.0  # configured -> Ready (models load here)
    call: float = 30.0  # a question -> its answer
    drain: float = 5.0  # Drain -> exit
    terminate: float = 2.0  # SIGTERM -> exit
    kill: float = 5.0  # SIGKILL -> joined
    exit: float = 3.0  # Exiting, or the end of its pipe -> exit


class Flood:
    """A worker that talks without an end would keep the loop that all streams share busy."""

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0

    def check(self) -> None:
        """One more message came. Raises ProtocolError for too many."""
        now = time.monotonic()
        if now - self._since > 1.0:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > _FLOOD:
            raise ProtocolError(f"status pipe: more than {_FLOOD} messages within a second")
