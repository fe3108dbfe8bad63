"""Outputs of constant nodes, shared by the workflows that one engine has loaded.

So a workflow that takes the place of a running one keeps what both use (a model is read once), and
a worker that was warmed up keeps its models until the stream's own workflow is loaded. An entry is
held as long as a loaded workflow uses it, and no longer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Made:
    """What a constant node gave. ``node``: its instance, on which the outputs may depend."""

    outputs: tuple[Any, ...]
    node: object


@dataclass(slots=True, eq=False)
class _Entry:
    users: int = 0
    made: Made | None = None
    making: threading.Lock = field(default_factory=threading.Lock)


class Constants:
    """By signature (workers.engine.signature). Any thread; one workflow may be loaded while
    another one runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def count(self) -> int:
        """How many entries are held."""
        return len(self._entries)

    def lease(self) -> Lease:
        """For one workflow, which closes it when it is closed itself."""
        return Lease(self)

    def take(self, key: str, make: Callable[[], Made]) -> Made:
        """Count one more user; ``make`` is called when there is no such entry yet. Of two threads
        one makes it, the other waits. Raises what ``make`` raises; then nobody is counted."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.users += 1
        try:
            with entry.making:
                if entry.made is None:
                    entry.made = make()
                return entry.made
        except BaseException:
            self.give_back(key)
            raise

    def give_back(self, key: str) -> None:
        """One user less; without users it goes."""
        with self._lock:
            entry = self._entries[key]
            entry.users -= 1
            if entry.users == 0:
                del self._entries[key]


class Lease:
    """The entries that one loaded workflow uses."""

    def __init__(self, constants: Constants) -> None:
        self._constants = constants
        self._keys: set[str] = set()

    def outputs(self, key: str, make: Callable[[], Made]) -> tuple[Any, ...]:
        """Raises what ``make`` raises."""
        made = self._constants.take(key, make)
        if key in self._keys:
            self._constants.give_back(key)
        self._keys.add(key)
        return made.outputs

    def close(self) -> None:
        """Idempotent."""
        while self._keys:
            self._constants.give_back(self._keys.pop())
