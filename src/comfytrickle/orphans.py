"""Processes whose parent died: who gets them, and their end.

A node may start processes, also some that leave the worker's session as daemons do; no signal to
the worker's group reaches those. So a worker and the fork server are both reapers for what is
below them (prctl(2), PR_SET_CHILD_SUBREAPER): while a worker lives, whatever it started stays
below it; when it dies, that becomes the fork server's. What is the fork server's child and no
worker has therefore lost its worker.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_GONE_S = 1.0


def adopt_orphans() -> None:
    """This process gets what its descendants leave behind. Not inherited by a fork."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(pid: int) -> list[int]:
    """Living or dead and not reaped; of all its threads. Empty for one that is gone."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue  # gone meanwhile
            if int(stat[stat.rindex(b")") + 2 :].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def kill_child(pid: int, parent: int) -> None:
    """SIGKILL to ``pid`` if it still is a child of ``parent``."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if pid in children_of(parent):  # the number was not given to another one meanwhile
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        pass  # gone just now
    finally:
        os.close(descriptor)


def end_all_with_me() -> None:
    """When this process ends in order, so do its children, and theirs, which then become its."""
    me = os.getpid()

    def end() -> None:
        deadline = time.monotonic() + _GONE_S
        while os.getpid() == me and time.monotonic() < deadline and (left := children_of(me)):
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            while True:
                try:
                    if os.waitpid(-1, os.WNOHANG)[0] == 0:
                        break
                except ChildProcessError:
                    break
            time.sleep(0.005)

    atexit.register(end)
