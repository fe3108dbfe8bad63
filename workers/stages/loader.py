"""Loads the next workflow of a live stream beside the one that runs.

Loading may take minutes (models); frames go on through the old workflow meanwhile. One change is
loaded at a time, in the order in which they were asked for.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from comfytrickle.errors import InvalidInput, InvalidWorkflow
from comfytrickle.messages import ParamsApplied, ParamsRejected, UpdateParams
from comfytrickle.workflow import parse_prompt
from workers.engine.live import LiveWorkflow, load_live
from workers.engine.protocol import Engine, NodeFailed
from workers.priority import give_way

log = logging.getLogger(__name__)

_AGAIN_S = 0.1  # what just begins does not hear an interrupt


@dataclass(frozen=True, slots=True)
class Change:
    """What was asked for, what is to be answered once it is applied, and the workflow for it."""

    params: UpdateParams
    answer: ParamsApplied | ParamsRejected
    workflow: LiveWorkflow | None = None

    def drop(self) -> None:
        """It is not applied: the stream has ended."""
        if self.workflow is not None:
            self.workflow.close()


class Loader:
    """Owns a thread, which exists only while the stream has an engine."""

    def __init__(self, on_change: Callable[[Change], None]) -> None:
        self._on_change = on_change
        self._wanted: queue.SimpleQueue[UpdateParams | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._engine: Engine | None = None

    def ask(self, params: UpdateParams) -> None:
        """Any thread. Before ``begin`` it waits in line."""
        self._wanted.put(params)

    def begin(self, engine: Engine) -> None:
        self._engine = engine
        # A daemon: a node stuck while it loads cannot keep the process.
        self._thread = threading.Thread(
            target=self._work, args=(engine,), name="loader", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        """Nothing more is loaded. What is being loaded just now is interrupted, and waited for,
        since it uses the engine."""
        self._wanted.put(None)
        if self._thread is None or self._engine is None:
            return
        self._thread.join(_AGAIN_S)
        while self._thread.is_alive():
            self._engine.interrupt()
            self._thread.join(_AGAIN_S)

    def _work(self, engine: Engine) -> None:
        give_way()  # to the frames that go on meanwhile
        while (params := self._wanted.get()) is not None:
            self._on_change(_load(engine, params))


def _load(engine: Engine, params: UpdateParams) -> Change:
    applied = ParamsApplied(params.revision)
    if params.workflow is None:
        return Change(params, applied)
    try:
        return Change(params, applied, load_live(engine, parse_prompt(params.workflow)))
    except InvalidWorkflow as error:
        return Change(params, ParamsRejected(params.revision, str(error), error.errors))
    except (InvalidInput, NodeFailed) as error:
        return Change(params, ParamsRejected(params.revision, str(error)))
    except Exception as error:  # a node's constructor may raise anything; the old one goes on
        log.exception("the new workflow cannot be loaded")
        reason = f"{type(error).__name__}: {error}"
        return Change(params, ParamsRejected(params.revision, reason))
