"""One stream: what was asked for, the worker that serves it, and what is known of both.

A record without a will of its own: :mod:`control_plane.streams.streams` starts, changes and ends
it. The worker handle is replaced when a stream gets a new worker; all that outlives a worker stands
here.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from comfytrickle.messages import (
    Counters,
    Failed,
    FramesRefused,
    Status,
    StreamConfig,
    TextLine,
    Texts,
    ToParent,
    UpdateParams,
)
from comfytrickle.states import State
from control_plane.placement.devices import Device
from control_plane.processes.worker import Worker
from control_plane.shapes import totals
from control_plane.shapes.reports import StreamFacts
from control_plane.streams.applied import APPLIED_KEPT, Applied, describe
from control_plane.streams.quarantine import Death

SAMPLE_EVERY_S = 1.0
SETTLE_S = 2.0  # from the last report without a frame: from then on, overload is overload
DEATHS_KEPT = 10
FAILURES_KEPT = 20
TEXTS_KEPT = 500
SAMPLES = 10  # so "lately" means the last ten seconds


class Stream:
    """Times are time.time() unless said otherwise."""

    def __init__(self, config: StreamConfig) -> None:
        self.requested = config  # as the caller asked: a repeat is compared with this
        self.config = config  # as it runs: the last accepted params
        self.device: Device | None = None
        self.worker: Worker | None = None
        self.created_at = time.time()
        self.ended_at: float | None = None
        self.starting: asyncio.Task[None] | None = None
        self.watching: asyncio.Task[None] | None = None
        self.closing: asyncio.Task[None] | None = None
        self.stopping = asyncio.Event()  # somebody asked for its end
        self.serving = asyncio.Event()  # its worker is ready
        self.restarts = 0
        self.deaths: deque[Death] = deque(maxlen=DEATHS_KEPT)
        self.finished = asyncio.Event()  # its slot is free again
        self.update_lock = asyncio.Lock()
        self.last_attempt = 0  # of a revision; refused ones are not used again
        self.applied: deque[Applied] = deque(maxlen=APPLIED_KEPT)  # the last changes
        self.log_tail: str | None = None
        # Told of frames that came by the inlet and could not be decoded.
        self.on_refused: Callable[[FramesRefused], None] | None = None
        self.texts: deque[TextLine] = deque(maxlen=TEXTS_KEPT)  # the last ones of its workflow
        self.on_texts: Callable[[Sequence[TextLine]], None] | None = None  # told of each, too
        self.owes_sink = False  # a former worker made the sink channel, and has not deleted it
        self._samples: deque[tuple[float, Counters]] = deque(maxlen=SAMPLES)
        self._begins_at = 0.0  # time.monotonic(); "lately" begins then
        self._past = Counters()  # of former workers
        self._past_failures: deque[tuple[float, Failed]] = deque(maxlen=FAILURES_KEPT)

    @property
    def id(self) -> str:
        return self.config.stream_id

    @property
    def state(self) -> State:
        if self.finished.is_set():
            return State.EXITED
        worker = self.worker
        if worker is None or worker.state is State.EXITED:  # the next one is about to come
            return State.STARTING
        return worker.state

    @property
    def stop_asked(self) -> bool:
        return self.stopping.is_set()

    @property
    def ending(self) -> bool:
        """It will not take new params, and its id is about to be free."""
        return self.stop_asked or self.state.rank >= State.DRAINING.rank

    def take_params(self, params: UpdateParams) -> None:
        """They were applied: from here on, this is the configuration."""
        given = {k: v for k, v in msgspec.structs.asdict(params).items() if v is not None}
        before, self.config = self.config, msgspec.structs.replace(self.config, **given)
        if what := describe(before, self.config):
            self.applied.append(Applied(time.time(), params.revision, what))

    def on_message(self, message: ToParent) -> None:
        """The worker's reports, as they come: remembers the counters of some seconds ago, and the
        last texts."""
        if isinstance(message, Status):
            now = time.monotonic()
            if message.counters.came_out == 0:
                # What came in before the stream was there is caught up with, not suffered.
                self._begins_at = now + SETTLE_S
            elif now >= self._begins_at and self._is_sample_due(now):
                self._samples.append((now, totals.add(self._past, message.counters)))
        elif isinstance(message, FramesRefused) and self.on_refused is not None:
            self.on_refused(message)
        elif isinstance(message, Texts):
            self.texts.extend(message.lines)
            if self.on_texts is not None:
                self.on_texts(message.lines)

    def _is_sample_due(self, now: float) -> bool:
        return not self._samples or now - self._samples[-1][0] >= SAMPLE_EVERY_S

    def retire(self, worker: Worker, death: Death) -> None:
        """It has died and is about to be replaced: what it counted and reported stays."""
        last = worker.status.counters if worker.status is not None else None
        self._past = totals.add(self._past, totals.of_dead_worker(last, worker.progress))
        self._past_failures.extend(worker.failures)
        if not worker.failures:  # it died without a word
            words = f"the worker ended: {death.cause} ({death.signal or death.exit_code})"
            self._past_failures.append((death.at, Failed("worker", words)))
        self.owes_sink = self.owes_sink or worker.owes_sink
        self.restarts += 1

    def facts(self) -> StreamFacts:
        """Everything a report needs, at this moment."""
        worker = self.worker
        facts = StreamFacts(
            config=self.config,
            device=self.device.id if self.device is not None else None,
            state=self.state,
            created_at=self.created_at,
            now=time.time(),
            ended_at=self.ended_at,
            stop_asked=self.stop_asked,
            earlier=self._samples[0][1] if self._samples else None,
            restarts=self.restarts,
            deaths=tuple(self.deaths),
            failures=tuple(self._past_failures),
            log_tail=self.log_tail,
        )
        if worker is None:
            return facts
        failures = (*self._past_failures, *worker.failures)
        if worker.state is State.EXITED and not self.finished.is_set():
            return replace(facts, status=self._with_past(worker.status), failures=failures)
        return replace(
            facts,
            pid=worker.pid,
            ready_at=worker.ready_at,
            exit_cause=worker.exit_cause,
            exit_code=worker.exit_code,
            exit_signal=worker.exit_signal,
            status=self._with_past(worker.status),
            status_age_s=None if worker.status_at is None else time.monotonic() - worker.status_at,
            failures=failures,
        )

    def _with_past(self, status: Status | None) -> Status | None:
        """The totals of all workers. A new one that has not reported yet has added nothing."""
        if not self.restarts:
            return status
        if status is None:
            return Status(seq=0, state=self.state, counters=self._past)
        return msgspec.structs.replace(status, counters=totals.add(self._past, status.counters))
