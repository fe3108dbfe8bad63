"""A stream as the control plane knows it, with workers that are nothing but shared memory."""

from __future__ import annotations

import asyncio
from typing import cast

from comfytrickle.messages import StreamConfig, Watch
from comfytrickle.shared import Shared, attach
from comfytrickle.states import ExitCause, State
from control_plane.processes.worker import Worker
from control_plane.streams.stream import Stream

PATIENCE_S = 20.0


class RingWorker:
    """A worker handle as far as viewers and senders look at one, and the worker's own ends."""

    def __init__(self) -> None:
        self.shared = Shared.create()
        self.outlet = attach(self.shared.outlet)
        self.inlet = attach(self.shared.inlet)
        self.watches: list[Watch] = []
        self.exit_cause: ExitCause | None = None
        self.state = State.STREAMING
        self._exited = asyncio.Event()

    def watch(self, watch: Watch) -> None:
        self.watches.append(watch)

    async def wait_exited(self) -> None:
        await self._exited.wait()

    def die(self) -> None:
        """As Worker._finish does it: all in one step."""
        if self.exit_cause is None:
            self.exit_cause = ExitCause.SIGNALLED
            self.state = State.EXITED
            self.shared.close()
            self._exited.set()
            self.outlet.close()
            self.inlet.close()


class RingStream:
    """Make it in a test's loop; ``end`` it."""

    def __init__(self, **config: object) -> None:
        self.stream = Stream(StreamConfig("s", {}, **config))  # type: ignore[arg-type]
        self.worker = RingWorker()

    def serve(self) -> RingWorker:
        """The first worker, or the next one, is ready."""
        if self.worker.exit_cause is not None:
            self.worker = RingWorker()
        self.stream.worker = cast(Worker, self.worker)
        self.stream.serving.set()
        return self.worker

    async def fall(self) -> None:
        """The worker dies; the supervisor sees it a moment later."""
        self.worker.die()
        await asyncio.sleep(0.05)
        self.stream.serving.clear()
        self.stream.restarts += 1

    def end(self) -> None:
        self.worker.die()
        self.stream.serving.clear()
        self.stream.finished.set()
