"""Workflows that always kill their worker are not started again. Pure: the clock is passed in.

A workflow is known by its digest. It is put away when a stream with it has spent its restart
budget on deaths of the process (signals, exits, hangs: nothing that is the source's fault), and at
least HABIT of its workers died within HABIT_S: one kill from outside is no habit. It can be looked
at and let out again by an operator.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from comfytrickle.errors import Quarantined
from control_plane.times import iso_time

HABIT = 3
HABIT_S = 600.0
_DEATHS_KEPT = 10
_WORKFLOWS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Death:
    """One worker's end. ``at`` is time.time()."""

    at: float
    stream_id: str
    cause: str
    signal: str | None
    exit_code: int | None
    message: str | None
    log_tail: str | None = None
    node_id: str | None = None  # of the node that it died of, where that is known
    node_type: str | None = None

    def report(self) -> dict[str, Any]:
        return {
            "time": iso_time(self.at),
            "stream_id": self.stream_id,
            "exit_cause": self.cause,
            "signal": self.signal,
            "exit_code": self.exit_code,
            "message": self.message,
            "node_id": self.node_id,
            "node_type": self.node_type,
            "log_tail": self.log_tail,
        }


@dataclass(slots=True)
class Story:
    """What one workflow did."""

    digest: str
    nodes: list[str]  # class types in it
    deaths: deque[Death] = field(default_factory=lambda: deque(maxlen=_DEATHS_KEPT))
    quarantined_at: float | None = None

    def report(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "node_types": self.nodes,
            "quarantined_at": iso_time(self.quarantined_at),
            "deaths": [death.report() for death in self.deaths],
        }

    def words(self) -> str:
        """One sentence for the caller who wants to start it again."""
        if not self.deaths:
            return "it is quarantined"
        last = self.deaths[-1]
        ending = last.signal or f"exit code {last.exit_code}"
        text = f"it ended its worker {len(self.deaths)} times, last with {ending} ({last.cause})"
        if last.node_id is not None:
            text += f" in node {last.node_id} ({last.node_type})"
        return f"{text}: {last.message}" if last.message else text


class Quarantine:
    """All stories of this control plane; bounded, the oldest go first."""

    def __init__(self) -> None:
        self._stories: OrderedDict[str, Story] = OrderedDict()

    def died(self, digest: str, nodes: list[str], death: Death) -> None:
        """A worker with this workflow died."""
        story = self._stories.get(digest)
        if story is None:
            story = self._stories[digest] = Story(digest, nodes)
        story.deaths.append(death)
        self._stories.move_to_end(digest)
        while len(self._stories) > _WORKFLOWS_KEPT:
            self._stories.popitem(last=False)

    def gave_out(self, digest: str, now: float) -> bool:
        """A stream's restarts are used up. True: from now on its workflow is not started.

        Raises KeyError for one that never killed a worker.
        """
        story = self._stories[digest]
        if sum(death.at > now - HABIT_S for death in story.deaths) < HABIT:
            return False
        story.quarantined_at = now
        return True

    def held(self, digest: str) -> Story | None:
        """Its story, if it is in quarantine."""
        story = self._stories.get(digest)
        return story if story is not None and story.quarantined_at is not None else None

    def refuse(self, digest: str) -> None:
        """Raises Quarantined, with its story, if it is in quarantine."""
        story = self.held(digest)
        if story is not None:
            raise Quarantined(f"this workflow is quarantined: {story.words()}", story.report())

    def all_held(self) -> list[Story]:
        return [story for story in self._stories.values() if story.quarantined_at is not None]

    def release(self, digest: str) -> bool:
        """Forget it: it may be started again. False: it was not held."""
        if self.held(digest) is None:
            return False
        del self._stories[digest]
        return True
