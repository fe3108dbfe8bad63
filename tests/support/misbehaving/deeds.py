"""What a node, or a library in it, can do to the process that it runs in.

Each deed is called in the engine's thread. It returns when the picture is to be passed on.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import itertools
import os
import re
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

# What is left behind, if nobody does anything about it, ends by itself after so long.
FOR_EVER_S = 600
HOARD_BYTES = 256 << 20
_LEAKED_THREADS = 100


class Deed(Exception):
    """What the raising deeds raise."""


# --- the process ends -------------------------------------------------------------------------


def segfault() -> None:
    ctypes.string_at(1)


def leave() -> None:
    print("misbehaving: about to leave", flush=True)
    os._exit(37)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fork_and_leave() -> None:
    """Children of three kinds; all of them hold what they inherited."""
    for _ in range(2):
        if os.fork() == 0:
            time.sleep(FOR_EVER_S)
            os._exit(0)
    subprocess.Popen(["sleep", str(FOR_EVER_S)])
    os._exit(38)


def fork_a_daemon() -> None:
    """And go on."""
    told, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(tell)
        time.sleep(FOR_EVER_S)
        os._exit(0)
    os.close(tell)
    os.read(told, 1)  # until the child has come so far
    os.close(told)
    subprocess.Popen(["sleep", str(FOR_EVER_S)], start_new_session=True)


def fork_a_daemon_and_leave() -> None:
    """A child that takes a session of its own, as daemons do: no signal to a group reaches it."""
    fork_a_daemon()
    os._exit(39)


# --- it lives, and does not come back ---------------------------------------------------------


def loop_in_python() -> None:
    while True:
        pass


def loop_holding_the_gil() -> None:
    """In C, without a look at anything: no other thread runs any more."""
    sum(itertools.repeat(0))


def wait_holding_the_gil() -> None:
    libc = ctypes.PyDLL(None)
    while True:
        libc.pause()


def search_holding_the_gil() -> None:
    re.match(r"(a|aa)+$", "a" * 100 + "b")


def loop_in_c() -> None:
    """Works, with the GIL released."""
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2**31 - 1)


def sleep() -> None:
    time.sleep(FOR_EVER_S)


def ignore_the_end() -> None:
    """Deaf to SIGTERM, and to Drain, since the loop does not run."""
    ctypes.CDLL(None).signal(int(signal.SIGTERM), 1)  # SIG_IGN; also from a thread
    loop_holding_the_gil()


def stop_itself() -> None:
    """As a debugger would, or a shell's Ctrl-Z."""
    os.kill(os.getpid(), signal.SIGSTOP)


# --- it lives, and makes trouble --------------------------------------------------------------


def hoard() -> None:
    """Memory, every page of it touched, until it is refused."""
    hoarded = []
    for _ in range(HOARD_BYTES >> 24):
        hoarded.append(bytearray(b"x" * (1 << 24)))
    raise MemoryError(f"misbehaving: {len(hoarded) << 24} bytes were not enough")


def hoard_to_the_limit() -> None:
    """The same against a real limit of the process's address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + HOARD_BYTES
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        hoarded = []
        while True:
            hoarded.append(bytearray(b"x" * (1 << 24)))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def leak_threads() -> None:
    """Not daemons: an interpreter that ends in order waits for them."""
    for _ in range(_LEAKED_THREADS):
        threading.Thread(target=time.sleep, args=(FOR_EVER_S,), daemon=False).start()


def close_descriptors() -> None:
    os.closerange(0, 4096)


def raise_error() -> None:
    raise Deed("misbehaving: this frame is not to my taste")


def sys_exit() -> None:
    sys.exit(3)


# --- on the status pipe -----------------------------------------------------------------------


def garbage_on_the_pipe() -> None:
    os.write(_pipe(), os.urandom(3000))


def announce_much_on_the_pipe() -> None:
    """The beginning of a message that never comes: what the worker says next belongs to it."""
    os.write(_pipe(), (32 << 20).to_bytes(4, "big"))


def flood_the_pipe() -> None:
    """Correct messages, as fast as they are taken."""
    body = msgspec.msgpack.encode({"t": "Failed", "kind": "node", "message": "flood " * 20})
    message = len(body).to_bytes(4, "big") + body
    pipe = _pipe()
    end = time.monotonic() + FOR_EVER_S
    while time.monotonic() < end:
        try:
            os.write(pipe, message)
        except BlockingIOError:
            select.select([], [pipe], [])


def _pipe() -> int:
    """The descriptor, as a library that writes to the wrong one might hit upon it."""
    pipe: Any = next(o for o in gc.get_objects() if type(o).__name__ == "Pipe")
    return int(pipe._writer.transport.get_extra_info("socket").fileno())


DEEDS: dict[str, Callable[[], None]] = {
    deed.__name__: deed
    for deed in (
        segfault,
        leave,
        kill_itself,
        fork_and_leave,
        fork_a_daemon,
        fork_a_daemon_and_leave,
        loop_in_python,
        loop_holding_the_gil,
        wait_holding_the_gil,
        search_holding_the_gil,
        loop_in_c,
        sleep,
        ignore_the_end,
        stop_itself,
        hoard,
        hoard_to_the_limit,
        leak_threads,
        close_descriptors,
        raise_error,
        sys_exit,
        garbage_on_the_pipe,
        announce_much_on_the_pipe,
        flood_the_pipe,
    )
}
