"""Serves one stream with one worker after another, until the stream is over.

Replaces the stream's worker handle and remembers how far its workers have come. Decides nothing by
itself: when a worker is hung says :mod:`control_plane.streams.watchdog`, what follows its end says
:mod:`control_plane.streams.policy`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec

from comfytrickle.errors import WorkerError
from comfytrickle.messages import ResumePoint, StreamConfig
from comfytrickle.progress import Progress
from control_plane.processes.worker import Worker
from control_plane.streams.policy import Next, RestartPolicy
from control_plane.streams.quarantine import Death
from control_plane.streams.stream import Stream
from control_plane.streams.watchdog import Deadlines, Watchdog
from control_plane.waiting import happens_within

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
_LATE_S = 0.5  # then it was us who did not listen

MakeWorker = Callable[[StreamConfig], Worker]
ReadLog = Callable[[Worker], Awaitable[str | None]]
BeforeNext = Callable[[Worker], Awaitable[None]]


class Supervisor:
    """One for each stream. ``start`` once, then ``keep`` as a task.

    ``read_log`` gives a dead worker's last lines; ``on_death`` is told of every death that was
    nobody's wish, and whether it was the last one that the stream could bear; ``before_next`` makes
    the way free for the successor of a worker that ended.
    """

    def __init__(
        self,
        stream: Stream,
        make_worker: MakeWorker,
        *,
        policy: RestartPolicy,
        deadlines: Deadlines,
        read_log: ReadLog,
        on_death: Callable[[Stream, Death, bool], None],
        before_next: BeforeNext,
    ) -> None:
        self._stream = stream
        self._make_worker = make_worker
        self._policy = policy
        self._deadlines = deadlines
        self._read_log = read_log
        self._on_death = on_death
        self._before_next = before_next
        self._progress: Progress | None = None
        self._fruitless = 0  # workers in a row that died on what they read before any frame was out

    async def start(self) -> None:
        """The first worker. Raises WorkerError; then no process is left."""
        worker = self._stream.worker = self._make_worker(self._stream.config)
        await worker.start()

    async def keep(self) -> None:
        """Until the stream has ended, by whatever cause; then no process is left."""
        stream = self._stream
        while True:
            worker = stream.worker
            assert worker is not None
            await self._attend(worker)
            stream.serving.clear()
            if stream.stop_asked or not await self._goes_on(worker):
                return
            await self._before_next(worker)
            if stream.stop_asked:
                return
            stream.worker = self._make_worker(self._resumed())
            log.warning("stream %s: restart %d", stream.id, stream.restarts)
            try:
                await stream.worker.start()
            except WorkerError as error:
                log.error("stream %s: the new worker did not start: %s", stream.id, error)

    # --- while it runs ------------------------------------------------------------------------

    async def _attend(self, worker: Worker) -> None:
        """Until this worker has ended; one that is hung is ended."""
        try:
            await worker.wait_ready()
        except WorkerError as error:
            log.warning("stream %s: %s", self._stream.id, error)
            await worker.stop("it did not become ready")
            return
        self._stream.serving.set()
        watchdog = Watchdog(self._deadlines, time.monotonic())
        exited = asyncio.ensure_future(worker.wait_exited())
        try:
            while not exited.done():
                begun = time.monotonic()
                await asyncio.wait({exited}, timeout=_LOOK_EVERY_S)
                if worker.status is not None:
                    watchdog.heard(worker.status, worker.status_at or 0.0)
                late = time.monotonic() - begun - _LOOK_EVERY_S
                if late > _LATE_S:
                    log.warning("this loop stood still for %.1f s", late)
                    watchdog.excuse(late)
                if exited.done() or self._stream.stop_asked:
                    continue  # a stop has budgets of its own
                verdict = watchdog.verdict(time.monotonic(), loading=worker.is_loading)
                if verdict is not None:
                    log.error("stream %s: %s", self._stream.id, verdict)
                    await worker.end_hung(verdict)
        finally:
            exited.cancel()

    # --- when it has ended --------------------------------------------------------------------

    async def _goes_on(self, worker: Worker) -> bool:
        """Whether another worker is to follow; waits for as long as the policy wants."""
        assert worker.exit_cause is not None
        gave_up = worker.gave_up
        decision = self._policy.ended(
            worker.exit_cause,
            gave_up.kind if gave_up else None,
            time.monotonic(),
            final=gave_up is not None and gave_up.final,
        )
        if decision.next in (Next.END, Next.FAIL):
            return False
        death = await self._story(worker)
        is_last = decision.next is Next.CRASH_LOOP
        self._on_death(self._stream, death, is_last)
        if is_last or self._stream.stop_asked:
            return False
        self._stream.retire(worker, death)
        if worker.progress is not None:
            self._progress, self._fruitless = worker.progress, 0
        elif worker.ready_at is not None:
            self._fruitless += 1
        if decision.pause_s:
            log.warning("stream %s: next worker in %.1f s", self._stream.id, decision.pause_s)
            return not await self._stopped_within(decision.pause_s)
        return not self._stream.stop_asked

    async def _stopped_within(self, seconds: float) -> bool:
        return await happens_within(self._stream.stopping, seconds)

    async def _story(self, worker: Worker) -> Death:
        assert worker.exit_cause is not None
        gave_up = worker.gave_up
        return Death(
            at=worker.ended_at or time.time(),
            stream_id=self._stream.id,
            cause=worker.exit_cause.value,
            signal=worker.exit_signal,
            exit_code=worker.exit_code,
            message=worker.failures[-1][1].message if worker.failures else None,
            node_id=gave_up.node_id if gave_up else None,
            node_type=gave_up.node_type if gave_up else None,
            log_tail=await self._last_words(worker),
        )

    async def _last_words(self, worker: Worker) -> str | None:
        try:
            return await self._read_log(worker)
        except OSError as error:  # a full disk must not be the end of the stream
            log.error("stream %s: the log of the dead worker: %s", self._stream.id, error)
            return None

    def _resumed(self) -> StreamConfig:
        """The last accepted params, from where the workers before came to."""
        progress = self._progress
        resume_at = None
        if progress is not None and progress.segment >= 0:
            resume_at = ResumePoint(
                # What killed two workers in the same place may be the pictures: leave them out.
                segment=progress.segment + self._fruitless,
                source_pts=progress.source_pts,
                pts=progress.pts,
                audio_pts=progress.audio_pts,
            )
        return msgspec.structs.replace(
            self._stream.config, resume=True, resume_at=resume_at, owes_sink=self._stream.owes_sink
        )
