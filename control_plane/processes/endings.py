"""How a worker ended, told from the facts. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from comfytrickle.states import ExitCause


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known about a process that has ended."""

    exit_code: int | None  # negative: ended by that signal; None: nobody can tell any more
    was_ready: bool
    said_exiting: str | None  # reason of its Exiting message, if one came
    startup_timed_out: bool = False
    found_unresponsive: bool = False
    asked_to_stop: bool = False
    we_signalled: bool = False  # SIGTERM or SIGKILL were sent by us


def exit_cause(ending: Ending) -> ExitCause:
    """One word for it. What we did to a worker outranks what the exit code says of it."""
    if ending.startup_timed_out:
        return ExitCause.STARTUP_TIMEOUT
    if ending.found_unresponsive:
        return ExitCause.UNRESPONSIVE
    # Its last word is said when all is flushed: what happens to the process after it (libraries
    # crash while they are torn down, threads hang) is not the stream's end any more.
    fine = ending.exit_code == 0 or ending.said_exiting not in (None, "failed")
    if fine and ending.said_exiting == "source_ended":
        return ExitCause.SOURCE_ENDED
    if fine and ending.asked_to_stop:
        return ExitCause.REQUESTED
    if ending.we_signalled and ending.exit_code != 0:
        return ExitCause.KILLED_BY_US
    if ending.exit_code is not None and ending.exit_code < 0:
        return ExitCause.SIGNALLED
    if not ending.was_ready:
        return ExitCause.STARTUP_ERROR
    if ending.exit_code == 0:
        return ExitCause.CLEAN
    return ExitCause.NONZERO


def signal_name(exit_code: int | None) -> str | None:
    """``"SIGKILL"`` for -9; None when no signal ended it."""
    if exit_code is None or exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
