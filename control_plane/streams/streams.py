"""The streams: who is admitted, who runs, and who was here.

Owns every stream's supervisor and slot: both are taken in ``_bring_up`` and given back in
``_finish``, and nowhere else. Which slot, and whether at all, says
:mod:`control_plane.placement.admission`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from comfytrickle.errors import (
    ComfytrickleError,
    Conflict,
    Unavailable,
)
from comfytrickle.messages import (
    Launch,
    Status,
    StreamConfig,
    ToParent,
)
from comfytrickle.workflow import parse_prompt
from control_plane.channels.side_channels import SideChannels
from control_plane.engines.engines import workflow_key
from control_plane.engines.inspector import Inspector
from control_plane.placement.admission import Admission
from control_plane.placement.needs import Workload
from control_plane.processes import logfiles
from control_plane.processes.log_pruner import LogPruner
from control_plane.processes.worker import Worker
from control_plane.streams.changes import Changes
from control_plane.streams.policy import GOOD_ENDS, RestartLimits, RestartPolicy
from control_plane.streams.quarantine import Death, Quarantine
from control_plane.streams.registry import Registry
from control_plane.streams.sink_ends import SinkEnds
from control_plane.streams.stream import Stream
from control_plane.streams.supervisor import Supervisor
from control_plane.streams.tally import Tally
from control_plane.streams.watchdog import Deadlines

log = logging.getLogger(__name__)

LOG_TAIL_LINES = 80
_DRAINING = "draining: no new streams"

MakeWorker = Callable[[Launch, StreamConfig, Callable[[ToParent], None]], Worker]


class Streams:
    """All streams of this control plane."""

    def __init__(
        self,
        make_worker: MakeWorker,
        inspector_of: Callable[[str], Inspector],
        admission: Admission,
        logs: logfiles.LogDir,
        *,
        limits: RestartLimits | None = None,
        deadlines: Deadlines | None = None,
        log_level: str = "INFO",
        worker_memory: int | None = None,
        keep_finished: int = 100,
        keep_finished_s: float = 3600.0,
    ) -> None:
        self._make_worker = make_worker
        self._inspector_of = inspector_of
        self._admission = admission
        self._logs = logs
        self._pruner = LogPruner(logs)
        self._sink_ends = SinkEnds()
        self._limits = limits or RestartLimits()
        self._deadlines = deadlines or Deadlines()
        self.quarantine = Quarantine()
        self.changes = Changes(inspector_of, self.quarantine)
        self._side_channels = SideChannels(self.changes.apply)
        self._log_level = log_level
        self._worker_memory = worker_memory
        self.registry = Registry(keep_finished, keep_finished_s)
        self.tally = Tally()
        self.draining = False

    # --- starting -----------------------------------------------------------------------------

    async def start(self, config: StreamConfig, digest: str | None = None) -> tuple[Stream, bool]:
        """A running stream for ``config``; False: it ran already (an identical repeat).
        ``digest``: of its workflow, if that is known.

        Raises InvalidWorkflow, Conflict, Unavailable, WorkerError. Then no worker and no slot
        are left behind.
        """
        key = workflow_key(digest or parse_prompt(config.workflow).digest, config.engine)
        self.quarantine.refuse(key)
        await self._wait_for_ending(config.stream_id)
        if self.draining:
            raise Unavailable(_DRAINING, retry_after=30.0)
        stream = self.registry.active_one(config.stream_id)
        is_new = stream is None
        if stream is None:
            self._refuse_taken_sink(config)
            stream = Stream(config)
            self.registry.add(stream)
            stream.starting = asyncio.create_task(self._bring_up(stream, Workload.of(key, config)))
            stream.starting.add_done_callback(_seen)
        elif stream.requested != config:
            raise Conflict(f"stream {stream.id!r} runs already, with another configuration")
        assert stream.starting is not None
        try:
            await asyncio.shield(stream.starting)
        except asyncio.CancelledError:
            if stream.stop_asked and stream.starting.cancelled():
                if self.draining and stream.device is None:
                    raise Unavailable(_DRAINING, retry_after=30.0) from None
                raise Conflict(f"stream {stream.id!r} was stopped while it started") from None
            raise
        return stream, is_new

    def _refuse_taken_sink(self, config: StreamConfig) -> None:
        """Two streams in one channel would be one picture of both."""
        if config.publish_url is None:
            return
        for other in self.registry.active():
            if other.config.publish_url == config.publish_url and not other.stop_asked:
                raise Conflict(f"stream {other.id!r} publishes to {config.publish_url} already")

    async def _wait_for_ending(self, stream_id: str) -> None:
        """An id that is on its way out can be used again as soon as it is gone; every stop has
        a budget, so this ends."""
        while (stream := self.registry.active_one(stream_id)) is not None and stream.ending:
            await stream.finished.wait()

    async def _bring_up(self, stream: Stream, load: Workload) -> None:
        try:
            self._admission.refuse_early(load)
            await self._inspector_of(stream.config.engine.name).require(stream.config.workflow)
            if self.draining:
                raise Unavailable(_DRAINING, retry_after=30.0)
            stream.device = await self._admission.admit(stream.id, load)
            self._side_channels.begin(stream)
            self._pruner.soon(self.registry.ids)
            engine = msgspec.structs.replace(
                stream.config.engine, device=stream.device.torch_device
            )
            stream.config = msgspec.structs.replace(stream.config, engine=engine)
            supervisor = self._supervise(stream)
            await supervisor.start()
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                log.info("stream %s not started: %s", stream.id, error)
            if stream.worker is not None:
                await stream.worker.stop("its start failed")
            await self._finish(stream)
            raise
        assert stream.worker is not None
        log.info("stream %s on %s, worker %s", stream.id, stream.device.id, stream.worker.pid)
        stream.watching = asyncio.create_task(self._keep(stream, supervisor))
        stream.watching.add_done_callback(_seen)

    def _supervise(self, stream: Stream) -> Supervisor:
        def make_worker(config: StreamConfig) -> Worker:
            device = stream.device  # another one, when the first is not well any more
            assert device is not None
            launch = Launch(
                name=stream.id,
                log_path=str(self._logs.stream(stream.id)),
                env=device.env,
                log_level=self._log_level,
                memory_limit=device.process_limit(self._worker_memory),
            )
            load = Workload.of(
                workflow_key(parse_prompt(config.workflow).digest, config.engine), config
            )
            self._admission.begins(stream.id, device, load, config.revision)
            return self._make_worker(launch, config, heard)

        def heard(message: ToParent) -> None:
            stream.on_message(message)
            if isinstance(message, Status) and stream.worker is not None:
                self._admission.heard(stream.id, message, stream.worker)

        async def read_log(worker: Worker) -> str:
            return await asyncio.to_thread(
                logfiles.keep_last_words, worker.log_path, LOG_TAIL_LINES
            )

        return Supervisor(
            stream,
            make_worker,
            policy=RestartPolicy(self._limits),
            deadlines=self._deadlines,
            read_log=read_log,
            on_death=self._died,
            before_next=lambda worker: self._find_device(stream, worker),
        )

    async def _find_device(self, stream: Stream, fallen: Worker) -> None:
        """For the next worker of the stream, unless it is stopped before that is known."""
        finding = asyncio.ensure_future(self._admission.next_device(stream.id, fallen))
        stopping = asyncio.ensure_future(stream.stopping.wait())
        try:
            await asyncio.wait({finding, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if finding.done():
                stream.device = finding.result()
        finally:
            finding.cancel()
            stopping.cancel()

    async def _keep(self, stream: Stream, supervisor: Supervisor) -> None:
        """From a started worker to the stream's end, whatever that is."""
        try:
            await supervisor.keep()
        finally:
            if stream.worker is not None and stream.worker.exit_cause is None:
                stream.worker.kill()  # only after a fault of our own: nothing may be left running
                await stream.worker.wait_exited()
            await self._finish(stream)

    def _died(self, stream: Stream, death: Death, is_last: bool) -> None:
        stream.deaths.append(death)
        self.tally.worker_ended(stream.worker)
        workflow = parse_prompt(stream.config.workflow)
        kinds = sorted({node.class_type for node in workflow.nodes.values()})
        key = workflow_key(workflow.digest, stream.config.engine)
        self.quarantine.died(key, kinds, death)
        if is_last:
            log.error("stream %s: its restarts are used up", stream.id)
            if self.quarantine.gave_out(key, time.time()):
                log.error("workflow %s is quarantined", key)

    async def _finish(self, stream: Stream) -> None:
        """Give back what it held; keep it readable when it ever had a worker."""
        worker = stream.worker
        try:
            if worker is not None and worker.exit_cause not in GOOD_ENDS:
                stream.log_tail = await asyncio.to_thread(
                    logfiles.keep_last_words, worker.log_path, LOG_TAIL_LINES
                )
        finally:
            stream.ended_at = time.time()
            self._admission.leave(stream.id, worker)
            stream.finished.set()
            self.registry.retire(stream, readable=worker is not None)
            self.tally.stream_ended(stream)
            self._end_sink(stream)
        cause = worker.exit_cause if worker is not None else None
        if worker is not None and cause is not None:
            level = logging.INFO if cause in GOOD_ENDS else logging.ERROR
            log.log(level, "stream %s ended: %s", stream.id, cause.value)

    def _end_sink(self, stream: Stream) -> None:
        """A worker that drained in time has done so; any other left it as it was, and one that died
        early has not even noted that it is owed."""
        worker, url = stream.worker, stream.config.publish_url
        if worker is None or url is None:
            return
        if worker.owes_sink or (stream.owes_sink and worker.exit_cause not in GOOD_ENDS):
            self._sink_ends.end(url, stream.config.verify_tls)

    # --- stopping -----------------------------------------------------------------------------

    async def stop(
        self, stream: Stream, reason: str = "requested", wait_s: float | None = None
    ) -> bool:
        """Returns whether it is over: its worker gone, its slot free. With ``wait_s`` it may not be
        yet after so many seconds; the rest goes on in the background. Every step of it has a
        budget. A second stop waits for the same."""
        if stream.finished.is_set():
            return True
        if stream.closing is None:
            log.info("stream %s: stop (%s)", stream.id, reason)
            stream.stopping.set()
            stream.closing = asyncio.create_task(self._stop(stream, reason))
            stream.closing.add_done_callback(_seen)
        await asyncio.wait({stream.closing}, timeout=wait_s)
        return stream.finished.is_set()

    async def _stop(self, stream: Stream, reason: str) -> None:
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
        await asyncio.gather(
            *(self.stop(stream, "shutting down") for stream in self.registry.active())
        )
        await asyncio.gather(self._sink_ends.close(), self._side_channels.close())
        await self._pruner.close()


def _seen(task: asyncio.Task[None]) -> None:
    """Whoever waits for a start gets its error; when nobody does any more, the log has it."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ComfytrickleError):
        log.error("a stream's task failed", exc_info=error)
