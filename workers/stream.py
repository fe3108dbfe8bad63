"""One stream in its worker: source.pump -> Pipeline -> sink.pump; watches it, reports, ends it.

It owns every part of it. The stream ends when its source ends, when the parent asks (Drain), or
when a part fails; the first two flush what is in flight, so the end always comes out of the sink.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

import aiohttp

from comfytrickle import messages as m
from comfytrickle.errors import ComfytrickleError
from comfytrickle.pipe import Pipe
from comfytrickle.shared import Shared
from comfytrickle.states import State
from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.protocol import SEQ_CURRENT
from comfytrickle.trickle.subscriber import Subscriber
from workers.ends import sink, source
from workers.ends.inlet import InletSource, Refusals
from workers.stacks import dump_stacks
from workers.stages.failures import failure_of
from workers.stages.items import Resize
from workers.stages.pipeline import Hooks, Pipeline
from workers.stages.stats import Stats
from workers.warm_engine import WarmEngine

log = logging.getLogger(__name__)

_IDLE_DRAIN_S = 5.0
# A source that a former worker has read and that is not there has ended, or its server is just
# being restarted.
_GONE_S = 5.0
_FLUSH_S = 3.0  # for what is in flight when the source has failed
# Before a drain's deadline the engine is interrupted: what it holds up has time to come out.
_CLOSING_S = 2.0
_AGAIN_S = 0.2

# Exit codes beside 0: what the parent shows is the Failed message, not these.
EXIT_FAILED = 1
EXIT_ORPHANED = 3


class StreamSession:
    """Serves one stream and returns the process's exit code."""

    def __init__(
        self,
        pipe: Pipe[m.ToWorker],
        config: m.StreamConfig,
        shared: Shared | None,
        warm: WarmEngine | None = None,
    ) -> None:
        """``warm``: an engine that was built before."""
        self._pipe = pipe
        self._shared = shared
        self._config = config
        self._state = State.LOADING
        self._stats = Stats()
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[m.Failed] = self._loop.create_future()
        self._drained_late: asyncio.Future[None] = self._loop.create_future()
        self._reason = "source_ended"
        self._seen_errors: dict[str, str | None] = {}
        self._resize: dict[int, Resize] = {}

        self._refusals = Refusals(self._loop, pipe.send)
        self._line = Pipeline(
            config,
            self._stats,
            shared,
            warm,
            Hooks(
                on_ready=lambda s: self._from_thread(self._ready, s),
                on_params=lambda answer: self._from_thread(self._params_answer, answer),
                on_failed=lambda failed: self._from_thread(pipe.send, failed),
                on_texts=lambda texts: self._from_thread(pipe.send, texts),
                on_refused=self._refusals.add,
                on_error=self._stage_failed,
            ),
        )

    def _from_thread(self, function: Any, *args: Any) -> None:
        self._loop.call_soon_threadsafe(function, *args)

    # --- its life -----------------------------------------------------------------------------

    async def run(self) -> int:
        """Until it is over. Everything it began is ended on return, but for a stuck thread."""
        config = self._config
        log.info("stream %s: %s -> %s", config.stream_id, config.subscribe_url, config.publish_url)
        async with open_session(verify_tls=config.verify_tls) as session:
            self._source = self._open_source(session)
            page = self._shared.page if self._shared is not None else None
            account = sink.Account(self._stats, page, config)
            self._sink: sink.Sink = (
                sink.ChannelSink(session, config, account)
                if config.publish_url
                else sink.NoSink(account)
            )
            self._line.start()
            tasks = [
                asyncio.create_task(self._read_source(), name="source"),
                asyncio.create_task(self._commands(), name="commands"),
                asyncio.create_task(self._report(), name="report"),
            ]
            self._source_task = tasks[0]
            for task in tasks:
                task.add_done_callback(self._task_done)
            writing = self._writing = asyncio.create_task(self._write_sink(), name="sink")
            try:
                over: set[asyncio.Future[Any]] = {writing, self._failed, self._drained_late}
                await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
                if self._failed.done():
                    failed = self._failed.result()
                    if _is_the_end(failed):
                        await asyncio.wait({writing}, timeout=_FLUSH_S)
                    self._send_status(State.DRAINING)  # the last counts are what is kept
                    return await self._give_up(failed)
                if not writing.done():
                    log.warning("not flushed within the deadline: what is left is dropped")
                self._send_status(State.DRAINING)
                self._pipe.send(m.Exiting(self._reason))
                await self._pipe.flush(1.0)
                log.info("the stream is over: %s", self._reason)
                return 0
            finally:
                self._line.close()
                for task in (*tasks, writing):
                    task.cancel()
                await asyncio.gather(*tasks, writing, return_exceptions=True)

    def _open_source(self, session: aiohttp.ClientSession) -> Subscriber | InletSource:
        config, resume = self._config, self._config.resume_at
        if config.subscribe_url is None:
            assert self._shared is not None  # the parent of a stream always shares it
            return InletSource(self._shared.inlet, self._stats)
        return Subscriber(
            session,
            config.subscribe_url,
            start=SEQ_CURRENT if resume is None else resume.segment,
            appear_timeout_s=config.appear_timeout_s if resume is None else _GONE_S,
        )

    async def _give_up(self, failed: m.Failed) -> int:
        log.error("the stream failed (%s): %s", failed.kind, failed.message)
        self._pipe.send(failed)
        self._pipe.send(m.Exiting("failed"))
        await self._pipe.flush(1.0)
        return EXIT_FAILED

    def _fail(self, failed: m.Failed) -> None:
        if not self._failed.done():
            self._failed.set_result(failed)
            if not _is_the_end(failed):
                # The sink goes on with the next worker: the end that the stages pass on now must
                # not become its end.
                self._writing.cancel()

    def _task_done(self, task: asyncio.Task[None]) -> None:
        """None of them may die unseen: a stream without its reports is not watched any more."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)
            text = f"{task.get_name()}: {type(error).__name__}: {error}"
            self._fail(m.Failed("internal", text, retryable=False))

    async def _read_source(self) -> None:
        was_seen = self._config.resume_at is not None
        try:
            if isinstance(self._source, InletSource):
                await self._source.pump(self._line.inbox)
            else:
                await source.pump(self._source, self._line.inbox, self._stats, was_seen=was_seen)
        except (ComfytrickleError, aiohttp.ClientError, OSError) as error:
            self._fail(m.Failed("source", str(error), retryable=False))

    async def _write_sink(self) -> None:
        try:
            await sink.pump(self._line.outbox, self._sink, self._stats)
        except (ComfytrickleError, aiohttp.ClientError, OSError) as error:
            self._fail(m.Failed("sink", str(error), retryable=False))
            await asyncio.Event().wait()  # the failure ends the stream, not this task's return

    def _stage_failed(self, stage: str, error: Exception) -> None:
        """From the stage's own thread, which is ending."""
        self._from_thread(self._fail, failure_of(stage, error))

    # --- the status pipe ----------------------------------------------------------------------

    async def _commands(self) -> None:
        while True:
            message = await self._pipe.receive()
            match message:
                case None:
                    # Nobody is left to ask for an end or to see one: go at once, whatever the
                    # threads are doing. The device is free when the process is gone.
                    log.error("the parent is gone: this worker ends")
                    logging.shutdown()
                    os._exit(EXIT_ORPHANED)
                case m.Drain(deadline_s=deadline_s, reason=reason):
                    self._drain(deadline_s, reason)
                case m.UpdateParams():
                    self._update(message)
                case m.Watch():
                    self._line.outlet.watch(message)
                case m.Ping():
                    self._send_status()
                case m.DumpStacks():
                    dump_stacks()
                case _:
                    log.error("not for a stream: %s", type(message).__name__)

    def _drain(self, deadline_s: float, reason: str) -> None:
        if self._state is State.DRAINING:
            return
        self._loop.call_later(deadline_s, self._drain_is_late)
        log.info("draining: %s", reason)
        self._reason = reason
        # While it loads nothing has come in that could come out.
        patience = 0.0 if self._state is State.LOADING else max(0.0, deadline_s - _CLOSING_S)
        self._loop.call_later(patience, self._interrupt)
        self._send_status(State.DRAINING)
        self._source_task.cancel()  # its end travels through the stages to the sink

    def _interrupt(self) -> None:
        self._line.engine.interrupt()
        self._loop.call_later(_AGAIN_S, self._interrupt)

    def _drain_is_late(self) -> None:
        if not self._drained_late.done():
            self._drained_late.set_result(None)

    def _update(self, params: m.UpdateParams) -> None:
        if params.width and params.height:
            self._resize[params.revision] = Resize(params.width, params.height)
        self._line.engine.update(params)

    def _params_answer(self, answer: m.ParamsApplied | m.ParamsRejected) -> None:
        resize = self._resize.pop(answer.revision, None)
        if resize is not None and isinstance(answer, m.ParamsApplied):
            self._line.inbox.put_nowait(resize)
        self._pipe.send(answer)

    def _ready(self, load_s: float) -> None:
        if self._state is State.LOADING:
            self._state = State.READY
        self._pipe.send(m.Ready(load_s=load_s, device_name=self._config.engine.device))
        log.info("ready after %.3f s", load_s)

    async def _report(self) -> None:
        begun = time.monotonic()
        while True:
            self._send_status()
            await asyncio.sleep(m.STATUS_INTERVAL_S)
            self._end_if_idle(time.monotonic() - begun)

    def _end_if_idle(self, lived_s: float) -> None:
        limit = self._config.idle_timeout_s
        age = self._stats.input_age(time.monotonic())
        if limit is not None and (lived_s if age is None else age) > limit:
            self._pipe.send(m.Failed("source", f"no frame for {limit:g} s: the stream ends"))
            self._drain(_IDLE_DRAIN_S, "source_ended")

    def _send_status(self, state: State | None = None) -> None:
        if state is not None:
            self._state = state
        elif self._state is State.READY and self._stats.has_output:
            self._state = State.STREAMING
        self._tell_error("source", self._source.last_error)
        self._tell_error("sink", self._sink.last_error)
        self._pipe.send(self._line.reporter.status(self._state, self._source, self._sink))

    def _tell_error(self, kind: str, error: str | None) -> None:
        """A channel that cannot be reached is retried; people want to know why nothing happens."""
        if error and error != self._seen_errors.get(kind):
            log.warning("%s: %s", kind, error)
            self._pipe.send(m.Failed(kind, error))
        self._seen_errors[kind] = error


def _is_the_end(failed: m.Failed) -> bool:
    """Nothing more comes, from no worker: what is in flight, and the end, still go out."""
    return failed.kind == "source" or failed.final
