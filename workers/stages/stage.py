"""The three threads of a stream: decode, engine, encode. Each spends its time in C, GIL released.

    Inbox --> DecodeStage --> Slot --> EngineStage --> Handover --> EncodeStage --> Outbox
              demux, decode,  newest   tensor, graph,               encode, mux
              to RGB          frame    back to RGB

Everything between them is bounded. An end travels through as a last item, so that what is in
flight comes out before it. A stage that raises ends the stream: its error reaches ``on_error``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Stage(threading.Thread):
    """A thread that runs ``work`` once. A daemon: a node stuck in C cannot keep the process."""

    def __init__(
        self,
        name: str,
        on_error: Callable[[str, Exception], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._on_error = on_error
        # Since when it has been at its present frame (time.monotonic()); None: it waits for one,
        # or for room. By this a hung thread is told from an idle one.
        self.busy_since: float | None = None

    def work(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        """Let the neighbours go when this stage is over, in whichever way."""
        raise NotImplementedError

    def release(self) -> None:
        """Give back what the stage holds. Comes last, since it may take long."""

    def run(self) -> None:
        try:
            try:
                self.work()
            except Exception as error:  # the thread's outermost frame: it ends the stream
                log.exception("stage %s failed", self.name)
                # Before the neighbours see an end, which would look like the stream's own.
                self._on_error(self.name, error)
        finally:
            self.abort()
            self.release()
