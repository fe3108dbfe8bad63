"""Order among two processes' memory accesses, from an interpreter that has no fences.

A writer stores a mark (busy), the frame, a mark (done); a reader loads a mark, the frame, the mark
again. That proves something only if both happen in that order as the other side sees it. Only the
*writer* calls a fence, twice a frame: after the mark "busy", and before the mark "done".

x86-64. Plain stores keep their order, and so do loads: a reader needs nothing. A large copy may go
by string or non-temporal stores, which are not bound to that order, but any instruction with a lock
prefix waits for them too. Taking and releasing a lock of ``threading`` contains one, whichever way
it is built (a semaphore's or CPython's own atomic exchange). So that is the fence: 0.1 µs.

ARM64. Next to nothing is kept in order, and a lock gives half fences only. So the fence is
membarrier(2), MEMBARRIER_CMD_GLOBAL_EXPEDITED: a full fence for the caller, which also makes every
running thread of every process that has registered execute one before it returns; a thread that is
not running has had one when it was switched out. The reader's process registers. Why that is
enough: the fence that begin causes falls on one point of the reader's program. Loads before that
point are over before the first byte of the new frame is stored; loads after it see the mark "busy".
So a reader whose second look shows the old mark has loaded all of the frame before it was touched.
In the same way, who sees the mark "done" is past the commit's fence and sees all of the frame. It
costs some µs a call, and disturbs the reader for as long. Linux has it from 4.16; where it is
missing or forbidden, there are no frame queues on such a machine. (Tried on x86-64 only: that the
call works, not that the order on ARM64 needs it.)

Elsewhere. As on ARM64, where we know the system call's number.

Beyond that we rely on CPython storing and loading an aligned 8-byte item of a memoryview of format
"Q" by one instruction, which its 8-byte memcpy is compiled to on 64-bit machines.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Callable

from comfytrickle.errors import WorkerError

# Of membarrier, from the kernel's tables of system calls.
_NUMBERS = {"x86_64": 324, "aarch64": 283, "riscv64": 283}
_GLOBAL_EXPEDITED = 1 << 1
_REGISTER_GLOBAL_EXPEDITED = 1 << 2


def fence_of(machine: str) -> Callable[[], None]:
    """This process's fence, on a machine of that name (uname -m).

    Call it in the reader's process as well: it makes others' fences reach it. Raises WorkerError
    where there is none.
    """
    return _lock_fence() if machine == "x86_64" else membarrier_fence(machine)


def _lock_fence() -> Callable[[], None]:
    lock = threading.Lock()

    def fence() -> None:
        lock.acquire()
        lock.release()

    return fence


def membarrier_fence(machine: str) -> Callable[[], None]:
    """Register this process for membarrier(2); the call, as a fence. Raises WorkerError."""
    number = _NUMBERS.get(machine)
    if number is None:
        raise WorkerError(f"frame queues: no memory fence is known on {machine}")
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_uint, ctypes.c_int]

    def membarrier(command: int) -> None:
        if call(number, command, 0, 0) != 0:
            raise WorkerError(f"frame queues: membarrier: {os.strerror(ctypes.get_errno())}")

    membarrier(_REGISTER_GLOBAL_EXPEDITED)
    return lambda: membarrier(_GLOBAL_EXPEDITED)


def fence_here() -> Callable[[], None]:
    return fence_of(platform.machine())
