"""Which word is used for which end of a worker."""

from __future__ import annotations

import pytest

from comfytrickle.states import ExitCause
from control_plane.processes.endings import Ending, exit_cause, signal_name


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        (Ending(0, True, None), ExitCause.CLEAN),
        (Ending(0, True, "source_ended"), ExitCause.SOURCE_ENDED),
        (Ending(0, True, "requested", asked_to_stop=True), ExitCause.REQUESTED),
        (Ending(1, False, "failed"), ExitCause.STARTUP_ERROR),
        (Ending(0, False, None), ExitCause.STARTUP_ERROR),
        (Ending(1, True, "failed"), ExitCause.NONZERO),
        (Ending(-11, True, None), ExitCause.SIGNALLED),
        (Ending(-9, False, None), ExitCause.SIGNALLED),
        (Ending(-9, True, None, asked_to_stop=True, we_signalled=True), ExitCause.KILLED_BY_US),
        (Ending(-15, False, None, startup_timed_out=True, we_signalled=True),
         ExitCause.STARTUP_TIMEOUT),
        (Ending(-9, True, None, found_unresponsive=True, we_signalled=True),
         ExitCause.UNRESPONSIVE),
        # It drained just as we lost patience: what it did counts.
        (Ending(0, True, "requested", asked_to_stop=True, we_signalled=True), ExitCause.REQUESTED),
        (Ending(None, True, None, asked_to_stop=True, we_signalled=True), ExitCause.KILLED_BY_US),
        (Ending(None, True, "requested", asked_to_stop=True), ExitCause.REQUESTED),
        (Ending(None, True, "failed"), ExitCause.NONZERO),
        # All was flushed; the process itself came to no good end.
        (Ending(-11, True, "source_ended"), ExitCause.SOURCE_ENDED),
        (Ending(-9, True, "source_ended", we_signalled=True), ExitCause.SOURCE_ENDED),
        (Ending(-9, True, "requested", asked_to_stop=True, we_signalled=True), ExitCause.REQUESTED),
        (Ending(-9, True, "failed", we_signalled=True), ExitCause.KILLED_BY_US),
    ],
)  # fmt: skip
def test_exit_cause(ending: Ending, cause: ExitCause) -> None:
    assert exit_cause(ending) is cause


def test_signal_name() -> None:
    assert signal_name(-9) == "SIGKILL"
    assert signal_name(-11) == "SIGSEGV"
    assert signal_name(1) is None
    assert signal_name(None) is None
    assert signal_name(-99) == "signal 99"
