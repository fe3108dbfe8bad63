"""The words for where a worker stands and for how it ended. Pure; shared by both sides."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """Where a worker stands. It only ever moves down this list."""

    STARTING = "starting"  # process asked for, no Hello yet
    LOADING = "loading"  # Hello received, Configure sent; engine and workflow load
    READY = "ready"  # Ready received; no frame has come out yet
    STREAMING = "streaming"  # frames come out
    DRAINING = "draining"  # asked to stop, or the source ended; flushing
    EXITED = "exited"  # the process is gone and joined

    @property
    def rank(self) -> int:
        return list(State).index(self)


class ExitCause(str, Enum):
    """How a worker ended. Another word than its state."""

    CLEAN = "clean"  # exit code 0 without a reason given
    REQUESTED = "requested"  # we asked it to drain and it did
    SOURCE_ENDED = "source_ended"  # its source channel closed and it drained
    STARTUP_ERROR = "startup_error"  # it reported that it cannot start
    STARTUP_TIMEOUT = "startup_timeout"  # no Hello or no Ready in time
    UNRESPONSIVE = "unresponsive"  # alive, but neither Status nor frames
    SIGNALLED = "signalled"  # died by a signal that was not ours
    NONZERO = "nonzero"  # exit code > 0
    KILLED_BY_US = "killed_by_us"  # did not follow Drain and SIGTERM within the budget


class Health(str, Enum):
    """Derived from counters and times, never stored as a state."""

    LOADING = "loading"
    WAITING = "waiting"  # ready, nothing arrives from the source
    OK = "ok"  # frames arrive and come out
    DEGRADED = "degraded"  # frames come out, but some fail or are dropped for overload
    STALLED = "stalled"  # frames arrive and none comes out
    RESTARTING = "restarting"  # its worker died; the next one is about to take over
    FAILED = "failed"  # the worker is gone and was not asked to go
    ENDED = "ended"  # over, as it should be
