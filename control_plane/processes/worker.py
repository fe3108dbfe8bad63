"""The handle of one worker process: start it, talk to it, know how it ended.

A handle owns its process, the parent's end of the status pipe and two tasks (one reads messages,
one waits for the end). It decides nothing about streams: its owner is told of every message and
asks for every stop.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from comfytrickle import messages as m
from comfytrickle.errors import ProtocolError, WorkerError
from comfytrickle.pipe import Pipe
from comfytrickle.progress import Progress
from comfytrickle.shared import Shared
from comfytrickle.states import ExitCause, State
from control_plane.processes.budgets import Budgets, Flood
from control_plane.processes.endings import Ending, exit_cause, signal_name
from control_plane.processes.launcher import ChildProcess, Launcher
from control_plane.processes.questions import Questions
from control_plane.waiting import happens_within
from workers import entry

log = logging.getLogger(__name__)

_KEPT_FAILURES = 20
# After the process has ended, how long its last messages may take to be read from the pipe. They
# are in the kernel already; a child that it forked may hold the other end open for ever.
_LAST_WORDS_S = 0.5
_STACKS_S = 1.0  # at most, for faulthandler to write the stacks of all threads
_STACKS_LOOK_S = 0.05


class Worker:
    """One process. Every method may be called at any time, from the loop that made it."""

    def __init__(
        self,
        launcher: Launcher,
        launch: m.Launch,
        configure: m.ConfigureStream | m.ConfigureInspector | m.ConfigureWarm,
        *,
        on_message: Callable[[m.ToParent], None] | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self.name = launch.name
        self.log_path = Path(launch.log_path)
        self.state = State.STARTING
        self.started_at = time.time()
        self.ready_at: float | None = None
        self.ended_at: float | None = None
        self.status: m.Status | None = None
        self.status_at: float | None = None  # time.monotonic()
        self.failures: deque[tuple[float, m.Failed]] = deque(maxlen=_KEPT_FAILURES)
        self.exit_cause: ExitCause | None = None
        self.exit_code: int | None = None
        self._launcher = launcher
        self._launch = launch
        self._configure = configure
        # How far its stream has come, and the frame queues. Everyone but an inspector may be given
        # a stream. Closed when it has ended.
        is_inspector = isinstance(configure, m.ConfigureInspector)
        self.shared = None if is_inspector else Shared.create()
        self.progress: Progress | None = None  # when it has ended: the last it wrote
        self.owes_sink = False  # when it has ended: it has not deleted the stream's own sink
        self._on_message = on_message
        self._budgets = budgets or Budgets()
        self._process: ChildProcess | None = None
        self._pipe: Pipe[m.ToParent] | None = None
        self._hello = asyncio.Event()
        self._warm = asyncio.Event()
        self._ready = asyncio.Event()
        self._exited = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._questions = Questions(self._budgets.call, self._why)
        self._said_exiting: str | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._startup_timed_out = False
        self._found_unresponsive = False
        self._asked_to_stop = False
        self._we_signalled = False

    # --- life ---------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_signal(self) -> str | None:
        return signal_name(self.exit_code)

    @property
    def gave_up(self) -> m.Failed | None:
        """What it said was the reason, when it ended itself for one."""
        last = self.failures[-1][1] if self.failures else None
        return last if last is not None and not last.retryable else None

    async def start(self) -> None:
        """Launch the process, wait for its Hello and configure it; or, when it was warmed up and
        assigned, configure it. Call once. Raises WorkerError; then no process is left.
        """
        if self._process is None:
            await self._launch_process()
        assert self._pipe is not None
        if self._exited.is_set() or not self._pipe.send(self._configure):
            self.kill()
            await self.wait_exited()
            raise WorkerError(self._why("cannot be configured"))

    async def warm_up(self) -> None:
        """Launch the process and have its engine built. Raises WorkerError; then no process is
        left."""
        await self.start()
        if not await self._first_of(self._warm, self._budgets.ready):
            self._startup_timed_out = not self._exited.is_set()
            self.kill()
            await self.wait_exited()
            raise WorkerError(self._why("did not warm up"))

    def assign(
        self,
        launch: m.Launch,
        config: m.StreamConfig,
        on_message: Callable[[m.ToParent], None] | None,
    ) -> None:
        """Make a warm worker a stream's: its name, its log, its configuration. Then start it."""
        self.name = launch.name
        self.log_path = Path(launch.log_path)
        self.started_at = time.time()
        self.failures.clear()
        self._on_message = on_message
        self._configure = m.ConfigureStream(config, launch)

    async def _launch_process(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = await self._launcher.launch(theirs, self.shared, self._launch)
        except BaseException:
            ours.close()
            self._finish(None)
            raise
        self._watching = asyncio.create_task(self._watch(self._process))
        try:
            self._pipe = await Pipe.open(ours, m.ToParent)
            self._reading = asyncio.create_task(self._read(self._pipe))
            if self._asked_to_stop:
                raise WorkerError(self._why("was stopped before it had started"))
            if not await self._first_of(self._hello, self._budgets.hello):
                self._startup_timed_out = not self._exited.is_set()
                raise WorkerError(self._why("did not say Hello"))
            self._to_state(State.LOADING)
        except BaseException:
            self.kill()
            await self.wait_exited()
            # It may have ended before there was a pipe to close.
            if self._pipe is not None:
                self._pipe.close()
            else:
                ours.close()
            raise

    async def wait_ready(self) -> None:
        """Until it is ready. Raises WorkerError with the reason when it is not to be."""
        if not await self._first_of(self._ready, self._budgets.ready):
            if not self._exited.is_set():
                self._startup_timed_out = True
                self._fail(m.Failed("hung", f"it loads for {self._budgets.ready:g} s and longer",
                                    retryable=False))  # fmt: skip
                await self._write_stacks()
                await self.stop()
            raise WorkerError(self._why("did not become ready"))

    async def wait_exited(self) -> ExitCause:
        await self._exited.wait()
        assert self.exit_cause is not None
        return self.exit_cause

    async def stop(self, reason: str = "requested") -> ExitCause:
        """Drain, then SIGTERM, then SIGKILL of its process group, then join.

        Takes at most drain + terminate + kill seconds; during start(), as long as that does.
        Idempotent: a second caller waits for the same end. A cancelled caller does not stop it.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(reason))
        await asyncio.shield(self._stopping)
        return await self.wait_exited()

    async def _stop(self, reason: str) -> None:
        self._asked_to_stop = True
        if self._exited.is_set() or self._process is None or self._pipe is None:
            return  # start() sees that it was asked to stop, as soon as there is a process
        if self._hello.is_set() and not self._startup_timed_out:
            self._to_state(State.DRAINING)
            if self._pipe.send(m.Drain(deadline_s=self._budgets.drain * 0.8, reason=reason)):
                await happens_within(self._exited, self._budgets.drain)
        if not self._exited.is_set():
            log.warning("worker %s (pid %s) does not drain: SIGTERM", self.name, self.pid)
            self._we_signalled = True
            self._process.signal(signal.SIGTERM)
            await happens_within(self._exited, self._budgets.terminate)
        if not self._exited.is_set():
            log.warning("worker %s (pid %s) does not end: SIGKILL", self.name, self.pid)
            await self._kill_and_wait(self._process)

    async def _kill_and_wait(self, process: ChildProcess) -> None:
        process.kill_group()
        await happens_within(self._exited, self._budgets.kill)
        if not self._exited.is_set():
            # Only a process in an uninterruptible system call (a driver) gets here.
            log.error("worker %s (pid %s) survived SIGKILL", self.name, self.pid)
            self._finish(None)

    def kill(self) -> None:
        """SIGKILL its process group now. The end is seen as any other; await wait_exited."""
        if self._process is not None and not self._exited.is_set():
            self._we_signalled = True
            self._process.kill_group()

    async def end_hung(self, why: str) -> None:
        """It lives and does not work: have its stacks written to its log, then SIGKILL."""
        if self._process is None or self._exited.is_set():
            return
        self._found_unresponsive = True
        self._fail(m.Failed("hung", why, retryable=False))
        await self._write_stacks()
        await self._kill_and_wait(self._process)

    async def _write_stacks(self) -> None:
        """Of all its threads, to its log; a worker that does not react writes them too. Returns
        when the log has grown and grows no more: on a busy machine that takes a while."""
        if self._process is None:
            return
        sizes = [self._log_size()]
        self._process.signal(entry.STACKS_SIGNAL)
        for _ in range(int(_STACKS_S / _STACKS_LOOK_S)):
            if await happens_within(self._exited, _STACKS_LOOK_S):
                return
            sizes.append(self._log_size())
            if sizes[0] < sizes[-2] == sizes[-1]:
                return

    def _log_size(self) -> int:
        try:
            return self.log_path.stat().st_size
        except OSError:
            return 0  # it was taken away; its end is seen all the same

    # --- questions ----------------------------------------------------------------------------

    async def update(self, params: m.UpdateParams) -> m.ParamsApplied | m.ParamsRejected:
        """Change a live stream, which may take as long as loading a workflow may. Raises
        WorkerError when no answer comes."""
        reply: m.ParamsApplied | m.ParamsRejected = await self._ask(params, self._budgets.ready)
        return reply

    async def inspect(self, workflow: dict[str, Any]) -> m.Inspected:
        """Ask an inspector whether ``workflow`` can run. Raises WorkerError."""
        reply: m.Inspected = await self._ask(m.Inspect(self._questions.new_id(), workflow))
        return reply

    async def describe(self) -> m.Described:
        """Ask an inspector for its nodes. Raises WorkerError."""
        reply: m.Described = await self._ask(m.Describe(self._questions.new_id()))
        return reply

    async def _ask(self, question: m.Message, timeout_s: float | None = None) -> Any:
        if self._exited.is_set() or self._pipe is None:
            raise WorkerError(self._why("cannot answer"))
        return await self._questions.ask(self._pipe.send, question, timeout_s)

    @property
    def is_loading(self) -> bool:
        """It has been told to change, and loads what it needs for that."""
        return self._questions.is_loading

    def watch(self, watch: m.Watch) -> None:
        """Have it show these pictures from now on, if it still lives."""
        if self._pipe is not None:
            self._pipe.send(watch)

    def dump_stacks(self) -> None:
        """Have the worker write the stacks of its threads to its log."""
        if self._pipe is not None:
            self._pipe.send(m.DumpStacks())

    # --- what comes from the worker -----------------------------------------------------------

    async def _read(self, pipe: Pipe[m.ToParent]) -> None:
        try:
            flood = Flood()
            while (message := await pipe.receive()) is not None:
                flood.check()
                self._take(message)
            self._expect_end()
        except ProtocolError as error:
            log.error("worker %s: %s; it is ended", self.name, error)
            self._fail(m.Failed("internal", str(error), retryable=False))
            self.kill()

    def _take(self, message: m.ToParent) -> None:
        match message:
            case m.Hello(protocol=protocol):
                if protocol != m.PROTOCOL_VERSION:
                    raise ProtocolError(f"it speaks protocol {protocol}")
                self._hello.set()
            case m.Warm():
                self._warm.set()
            case m.Ready():
                self.ready_at = time.time()
                self._to_state(State.READY)
                self._ready.set()
            case m.Status():
                self.status, self.status_at = message, time.monotonic()
                self._to_state(message.state)
            case m.Failed():
                self._fail(message)
            case m.Exiting(reason=reason):
                self._said_exiting = reason
                self._to_state(State.DRAINING)
                self._expect_end()
            case m.ParamsApplied() | m.ParamsRejected() | m.Inspected() | m.Described():
                self._questions.answered(message)
        if self._on_message is not None:
            self._on_message(message)

    def _expect_end(self) -> None:
        """It said its last word, or closed the pipe: nothing more can come of it."""
        if self._overdue is None and not self._exited.is_set():
            loop = asyncio.get_running_loop()
            self._overdue = loop.call_later(self._budgets.exit, self._end_overdue)

    def _end_overdue(self) -> None:
        log.warning("worker %s (pid %s) has closed and does not end: SIGKILL", self.name, self.pid)
        if self._said_exiting is None:
            self._fail(m.Failed("internal", "it closed its status pipe", retryable=False))
        self.kill()

    def _fail(self, failed: m.Failed) -> None:
        self.failures.append((failed.at or time.time(), failed))

    def _to_state(self, state: State) -> None:
        if state.rank > self.state.rank:  # a late report never takes a worker back
            self.state = state

    # --- its end ------------------------------------------------------------------------------

    async def _watch(self, process: ChildProcess) -> None:
        code = await process.wait()
        process.kill_group()  # what it forked has no owner any more
        burying = asyncio.create_task(self._bury(process.pid))
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=_LAST_WORDS_S)
            self._reading.cancel()
        process.close()
        self._finish(code)
        await burying

    async def _bury(self, pid: int) -> None:
        try:
            await self._launcher.bury(pid)
        except WorkerError as error:
            log.warning("worker %s: %s", self.name, error)

    def _finish(self, code: int | None) -> None:
        if self._exited.is_set():
            return
        self.exit_code = code
        if self.shared is not None:
            self.progress = self.shared.page.read()
            self.owes_sink = self.shared.page.owes_sink()
            self.shared.close()
        self.exit_cause = exit_cause(
            Ending(
                exit_code=code,
                was_ready=self.ready_at is not None,
                said_exiting=self._said_exiting,
                startup_timed_out=self._startup_timed_out,
                found_unresponsive=self._found_unresponsive,
                asked_to_stop=self._asked_to_stop,
                we_signalled=self._we_signalled,
            )
        )
        self.ended_at = time.time()
        self._to_state(State.EXITED)
        if self._overdue is not None:
            self._overdue.cancel()
        if self._pipe is not None:
            self._pipe.close()
        self._exited.set()
        self._questions.end()
        log.info("worker %s (pid %s) ended: %s (%s)", self.name, self.pid, self.exit_cause.value,
                 self.exit_signal or f"exit code {code}")  # fmt: skip

    def _why(self, what: str) -> str:
        """``what``, and the best-known reason."""
        text = f"worker {self.name} {what}"
        if self.failures:
            text += f": {self.failures[-1][1].message}"
        elif self.exit_cause is not None:
            ending = self.exit_signal or f"exit code {self.exit_code}"
            text += f": it ended ({self.exit_cause.value}, {ending})"
        return text

    async def _first_of(self, event: asyncio.Event, timeout: float) -> bool:
        """True when ``event`` came before the process ended and before ``timeout`` seconds."""
        waits = [asyncio.ensure_future(e.wait()) for e in (event, self._exited)]
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return event.is_set() and not (self._exited.is_set() and event is self._ready)
