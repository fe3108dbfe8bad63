"""Children that are forked here, from a process without threads."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def fork(body: Callable[[], None]) -> int:
    """Run ``body`` in a child that dies with this process; its pid. Status 0: body returned."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == parent:
            body()
            code = 0
    except BaseException:  # noqa: BLE001 - nobody is above: it is shown, and the status tells
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def end(pid: int) -> None:
    """SIGKILL to a child of ours, and wait for it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def join(*pids: int) -> None:
    """Wait for children that end by themselves. Raises RuntimeError when one failed."""
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    if any(codes):
        raise RuntimeError(f"children ended with {codes}")
