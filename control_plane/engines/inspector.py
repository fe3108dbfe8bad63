"""The inspector: one long-lived worker that knows the engine's nodes and checks workflows.

The parent cannot do that itself: nodes are code, and need torch. The inspector may be killed by a
workflow or hang in a node's code: it is then replaced, after a pause that grows with every early
death, and no stream is touched by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from comfytrickle.errors import InvalidWorkflow, Unavailable, WorkerError
from comfytrickle.messages import Described, Inspected
from control_plane.processes.worker import Worker

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LONG_LIFE_S = 60.0  # after such a life the next pause is the first again


def pause_after(early_deaths: int) -> float:
    """Seconds before the next attempt, after so many early deaths in a row. Pure."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(early_deaths, 16))


class Inspector:
    """Keeps one inspector worker alive and asks it. Owns its worker and the task that keeps it."""

    def __init__(self, make_worker: Callable[[], Worker], question_timeout_s: float) -> None:
        self._make_worker = make_worker
        self._timeout = question_timeout_s
        self.worker: Worker | None = None  # the present one, whatever its state
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._catalogue: Described | None = None  # of the present worker
        self._asked: dict[bytes, asyncio.Task[Inspected]] = {}  # by workflow, not answered yet
        self._next_attempt: float = 0.0  # time.monotonic()
        self.restarts = 0
        self.last_error: str | None = None

    @property
    def ready(self) -> bool:
        return self._up.is_set()

    @property
    def pid(self) -> int | None:
        return self.worker.pid if self.worker is not None and self.ready else None

    def begin(self) -> None:
        """Start keeping a worker alive, from now until close."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """End the worker. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        for question in list(self._asked.values()):  # nobody is there to answer
            question.cancel()
            await asyncio.wait([question])

    async def check(self, workflow: dict[str, Any]) -> Inspected:
        """Whether the engine can run it. Raises Unavailable when no answer comes in time.

        Who asks the same while the answer is awaited shares it; later callers ask anew.
        """
        key = msgspec.json.encode(workflow, order="deterministic")
        question = self._asked.get(key)
        if question is None or question.done():
            question = asyncio.create_task(
                self._ask(lambda worker: worker.inspect(workflow), "check of this workflow")
            )
            self._asked[key] = question
            question.add_done_callback(lambda done: self._answered(key, done))
        try:
            return await asyncio.shield(question)
        except asyncio.CancelledError:
            if question.cancelled():  # not this caller was: the inspector is closed
                raise Unavailable("the inspector has ended") from None
            raise

    def _answered(self, key: bytes, question: asyncio.Task[Inspected]) -> None:
        if self._asked.get(key) is question:
            del self._asked[key]
        if not question.cancelled():
            question.exception()  # whoever asked may have gone: then nobody is told, nor has to be

    async def require(self, workflow: dict[str, Any], field: str = "params.prompt") -> None:
        """Raises InvalidWorkflow when the engine cannot run it; Unavailable."""
        verdict = await self.check(workflow)
        if not verdict.valid:
            first = verdict.errors[0].message if verdict.errors else "the engine refuses it"
            raise InvalidWorkflow(first, verdict.errors, field)

    async def catalogue(self) -> Described:
        """The nodes there are, asked once of each worker. Raises Unavailable."""
        if self._catalogue is None:
            self._catalogue = await self._ask(lambda worker: worker.describe(), "list of nodes")
        return self._catalogue

    async def _ask(self, question: Callable[[Worker], Awaitable[T]], what: str) -> T:
        deadline = time.monotonic() + self._timeout
        for last in (False, True):
            worker = await self._wait_up(deadline)
            try:
                return await asyncio.wait_for(
                    question(worker), max(0.001, deadline - time.monotonic())
                )
            except asyncio.TimeoutError:
                # Stuck in a node's code: it would let every later question wait as well.
                log.error("inspector: the %s took over %g s: replaced", what, self._timeout)
                worker.dump_stacks()
                await self._replace(worker)
                raise Unavailable(f"the {what} took longer than {self._timeout:g} s") from None
            except WorkerError as error:
                # It died; perhaps by another caller's question, so ask once more.
                await self._replace(worker)
                if last:
                    raise Unavailable(f"the inspector died during the {what}: {error}") from error
        raise AssertionError("unreachable")

    async def _replace(self, worker: Worker) -> None:
        """End ``worker``; the keeper then starts the next one."""
        if worker is self.worker:
            self._up.clear()
        await worker.stop("it does not answer")

    async def _wait_up(self, deadline: float) -> Worker:
        now = time.monotonic()
        if not self._up.is_set() and self._next_attempt > deadline:
            raise Unavailable(self._why_down(), retry_after=self._next_attempt - now)
        try:
            await asyncio.wait_for(self._up.wait(), max(0.001, deadline - now))
        except asyncio.TimeoutError:
            raise Unavailable(self._why_down()) from None
        assert self.worker is not None
        return self.worker

    def _why_down(self) -> str:
        if self.last_error is not None:
            return f"the inspector is restarting: {self.last_error}"
        return "the inspector is still loading"

    async def _keep(self) -> None:
        early_deaths = 0
        while True:
            lived = await self._one_life()
            early_deaths = 0 if lived > LONG_LIFE_S else early_deaths + 1
            pause = pause_after(early_deaths - 1) if early_deaths else FIRST_PAUSE_S
            name = self.worker.name if self.worker is not None else "inspector"
            log.warning("%s ended (%s); next in %g s", name, self.last_error, pause)
            self._next_attempt = time.monotonic() + pause
            self.restarts += 1
            await asyncio.sleep(pause)

    async def _one_life(self) -> float:
        """From start to end of one worker. Returns the seconds that it served."""
        worker = self.worker = self._make_worker()
        served_from = None
        try:
            await worker.start()
            await worker.wait_ready()
            served_from = time.monotonic()
            self.last_error = None
            self._up.set()
            log.info("ready: streams can start (%s: pid %s)", worker.name, worker.pid)
            cause = await worker.wait_exited()
            self.last_error = f"it ended: {cause.value}"
        except WorkerError as error:
            self.last_error = str(error)
        finally:
            self._up.clear()
            self._catalogue = None
            await worker.stop("the inspector is not needed any more")
        return 0.0 if served_from is None else time.monotonic() - served_from
