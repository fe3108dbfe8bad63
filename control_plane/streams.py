"""The streams: who is admitted, who runs, and who was here.

Owns every stream's worker handle and slot: both are taken in ``_bring_up`` and given back in
``_finish``, and nowhere else. A stream's id is in ``_active`` from the first moment of its start,
so that two starts of one id can only ever make one worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from comfytrickle.errors import (
    ComfytrickleError,
    Conflict,
    InvalidInput,
    InvalidWorkflow,
    NotFound,
    Unavailable,
    WorkerError,
)
from comfytrickle.messages import (
    ConfigureStream,
    Launch,
    ParamsRejected,
    StreamConfig,
    ToParent,
    UpdateParams,
)
from control_plane import logfiles
from control_plane.devices import Inventory
from control_plane.inspector import Inspector
from control_plane.reports import GOOD_ENDS
from control_plane.requests import ParamsRequest
from control_plane.stream import Stream
from control_plane.worker import Worker

log = logging.getLogger(__name__)

LOG_TAIL_LINES = 40
READY_WAIT_S = 30.0  # how long params for a stream that still loads may wait

MakeWorker = Callable[[Launch, ConfigureStream, Callable[[ToParent], None]], Worker]


class Streams:
    """All streams of this control plane."""

    def __init__(
        self,
        make_worker: MakeWorker,
        inspector: Inspector,
        inventory: Inventory,
        logs: logfiles.LogDir,
        *,
        log_level: str = "INFO",
        keep_finished: int = 100,
        keep_finished_s: float = 3600.0,
    ) -> None:
        self._make_worker = make_worker
        self._inspector = inspector
        self._inventory = inventory
        self._logs = logs
        self._log_level = log_level
        self._keep_finished = keep_finished
        self._keep_finished_s = keep_finished_s
        self._active: dict[str, Stream] = {}
        self._finished: OrderedDict[str, Stream] = OrderedDict()
        self.draining = False

    # --- looking ------------------------------------------------------------------------------

    def active(self) -> list[Stream]:
        """In order of their start."""
        return list(self._active.values())

    def finished(self) -> list[Stream]:
        """Those still readable, the oldest first."""
        self._forget()
        return list(self._finished.values())

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

    # --- starting -----------------------------------------------------------------------------

    async def start(self, config: StreamConfig) -> tuple[Stream, bool]:
        """A running stream for ``config``; False: it ran already (an identical repeat).

        Raises InvalidWorkflow, Conflict, Unavailable, WorkerError. Then no worker and no slot
        are left behind.
        """
        await self._wait_for_ending(config.stream_id)
        if self.draining:
            raise Unavailable("shutting down: no new streams", retry_after=30.0)
        stream = self._active.get(config.stream_id)
        is_new = stream is None
        if stream is None:
            stream = self._active[config.stream_id] = Stream(config)
            stream.starting = asyncio.create_task(self._bring_up(stream))
            stream.starting.add_done_callback(_seen)
        elif stream.requested != config:
            raise Conflict(f"stream {stream.id!r} runs already, with another configuration")
        assert stream.starting is not None
        try:
            await asyncio.shield(stream.starting)
        except asyncio.CancelledError:
            if stream.stop_asked and stream.starting.cancelled():
                raise Conflict(f"stream {stream.id!r} was stopped while it started") from None
            raise
        return stream, is_new

    async def _wait_for_ending(self, stream_id: str) -> None:
        """An id that is on its way out can be used again as soon as it is gone; every stop has
        a budget, so this ends."""
        while (stream := self._active.get(stream_id)) is not None and stream.ending:
            await stream.finished.wait()

    async def _bring_up(self, stream: Stream) -> None:
        try:
            await self._inspector.require(stream.config.workflow)
            if self.draining:
                raise Unavailable("shutting down: no new streams", retry_after=30.0)
            stream.device = self._inventory.reserve(stream.id)
            await self._prune_logs()
            engine = msgspec.structs.replace(
                stream.config.engine, device=stream.device.torch_device
            )
            stream.config = msgspec.structs.replace(stream.config, engine=engine)
            stream.worker = self._make_worker(
                Launch(
                    name=stream.id,
                    log_path=str(self._logs.stream(stream.id)),
                    env=stream.device.env,
                    log_level=self._log_level,
                ),
                ConfigureStream(stream.config),
                stream.on_message,
            )
            await stream.worker.start()
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                log.info("stream %s not started: %s", stream.id, error)
            if stream.worker is not None:
                await stream.worker.stop("its start failed")
            await self._finish(stream)
            raise
        log.info("stream %s on %s, worker %s", stream.id, stream.device.id, stream.worker.pid)
        stream.watching = asyncio.create_task(self._watch(stream, stream.worker))
        stream.watching.add_done_callback(_seen)

    async def _watch(self, stream: Stream, worker: Worker) -> None:
        """From a started worker to its end, whatever that is."""
        try:
            try:
                await worker.wait_ready()
            except WorkerError as error:
                log.warning("stream %s: %s", stream.id, error)
                await worker.stop("it did not become ready")
            await worker.wait_exited()
        finally:
            await self._finish(stream)

    async def _finish(self, stream: Stream) -> None:
        """Give back what it held; keep it readable when it ever had a worker."""
        worker = stream.worker
        try:
            if worker is not None and worker.exit_cause not in GOOD_ENDS:
                stream.log_tail = await asyncio.to_thread(
                    logfiles.last_words, worker.log_path, LOG_TAIL_LINES
                )
        finally:
            stream.ended_at = time.time()
            self._inventory.release(stream.id)
            del self._active[stream.id]
            stream.finished.set()
            if worker is not None:
                self._finished[stream.id] = stream
                self._finished.move_to_end(stream.id)
            self._forget()
        cause = worker.exit_cause if worker is not None else None
        if worker is not None and cause is not None:
            level = logging.INFO if cause in GOOD_ENDS else logging.ERROR
            log.log(level, "stream %s ended: %s", stream.id, cause.value)

    # --- changing -----------------------------------------------------------------------------

    async def update(self, stream: Stream, change: ParamsRequest) -> int:
        """Apply ``change`` between two frames. Returns the revision that runs then.

        Raises InvalidWorkflow (the stream goes on as it was), Conflict when it has ended,
        Unavailable when it is not ready yet, WorkerError.
        """
        for name in ("drop", "encode"):
            wanted = getattr(change, name)
            if wanted is not None and wanted != getattr(stream.config, name):
                raise InvalidInput(f"params.{name}", "is fixed when a stream starts")
        if not change.changes_frames:
            return stream.config.revision
        if change.workflow is not None:
            await self._inspector.require(change.workflow)
        async with stream.update_lock:  # revisions take effect in their order
            worker = await self._ready_worker(stream)
            stream.last_attempt += 1
            params = UpdateParams(
                revision=stream.last_attempt,
                workflow=change.workflow,
                width=change.width,
                height=change.height,
                max_framerate=change.max_framerate,
            )
            answer = await worker.update(params)
            if isinstance(answer, ParamsRejected):
                raise InvalidWorkflow(answer.reason, answer.node_errors, "params")
            stream.take_params(params)
            return params.revision

    async def _ready_worker(self, stream: Stream) -> Worker:
        worker = stream.worker
        if worker is not None and worker.ready_at is None and not stream.ending:
            try:
                await asyncio.wait_for(asyncio.shield(worker.wait_ready()), READY_WAIT_S)
            except asyncio.TimeoutError:
                raise Unavailable(f"stream {stream.id!r} is still loading") from None
            except WorkerError:
                pass  # it ended instead, which is what is said next
        if worker is None or worker.ready_at is None or stream.ending:
            raise Conflict(f"stream {stream.id!r} is {stream.state.value}: it takes no params")
        return worker

    # --- stopping -----------------------------------------------------------------------------

    async def stop(self, stream: Stream, reason: str = "requested") -> None:
        """Returns when its worker is gone and its slot free; a second stop waits for the same."""
        if stream.finished.is_set():
            return
        stream.stop_asked = True
        log.info("stream %s: stop (%s)", stream.id, reason)
        starting = stream.starting
        if starting is not None and not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
        if stream.worker is not None:
            await stream.worker.stop(reason)
        if stream.watching is None and not stream.finished.is_set():
            await self._finish(stream)  # cancelled before its first step: nothing else does it
        await stream.finished.wait()

    async def drain(self) -> None:
        """Admit nothing more and stop all. Takes as long as the slowest worker's stop."""
        self.draining = True
        results = await asyncio.gather(
            *(self.stop(stream, "shutting down") for stream in self.active()),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                log.error("while draining", exc_info=result)

    # --- keeping bounds -----------------------------------------------------------------------

    def _forget(self) -> None:
        oldest = time.time() - self._keep_finished_s
        for stream_id, stream in list(self._finished.items()):
            too_many = len(self._finished) > self._keep_finished
            if not too_many and (stream.ended_at or 0.0) > oldest:
                break
            del self._finished[stream_id]

    async def _prune_logs(self) -> None:
        in_use = [*self._active, *self._finished]
        try:
            await asyncio.to_thread(self._logs.prune, in_use)
        except OSError as error:
            log.warning("cannot remove old logs: %s", error)


def _seen(task: asyncio.Task[None]) -> None:
    """Whoever waits for a start gets its error; when nobody does any more, the log has it."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ComfytrickleError):
        log.error("a stream's task failed", exc_info=error)
