"""Where a worker process begins: light, for it is all of ``workers`` that the parent imports.

The order matters: own process group, log file, environment (the device is pinned there), and only
then the modules that could initialise CUDA.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import fcntl
import importlib
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Coroutine
from typing import Any

import msgspec
from multiprocess import forkserver, resource_tracker

from comfytrickle.logs import open_worker_log
from comfytrickle.messages import Launch
from comfytrickle.orphans import adopt_orphans
from comfytrickle.shared import Shared
from workers.inherited import Inherited
from workers.limits import limit_memory

# fcntl.F_SETSIG of Linux (fcntl(2)); Python names it only from 3.11 on some builds.
_F_SETSIG = 10
STACKS_SIGNAL = signal.SIGUSR1


def main(
    sock: socket.socket,
    lifeline: socket.socket,
    shared: list[Inherited] | None,
    launch_json: bytes,
) -> None:
    """Serve what the parent configures over ``sock``; the process ends when this returns.

    ``lifeline``: a socket on which nothing is ever sent and whose other end the parent alone holds.
    ``shared``: the descriptors of a :class:`comfytrickle.shared.Shared`; an inspector has none.
    ``launch_json`` is an encoded :class:`comfytrickle.messages.Launch`.
    """
    # A group of its own: it can be ended with all it forked, and a Ctrl-C at the terminal goes to
    # the parent alone, which then drains us.
    os.setsid()
    _die_with(lifeline)
    adopt_orphans()
    _leave_the_fork_server()
    launch = msgspec.json.decode(launch_json, type=Launch)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(launch.env)
    open_worker_log(launch)
    if launch.memory_limit is not None:
        limit_memory(launch.memory_limit)
    faulthandler.enable(all_threads=True)
    # A hung worker is asked by this signal for its stacks; the handler is in C and needs no GIL.
    faulthandler.register(STACKS_SIGNAL, all_threads=True)
    # Shorter turns for threads: a node that computes in Python would otherwise hold the loop up
    # by 5 ms at every hop (measured: 11 ms p99, 1.5 ms with this).
    sys.setswitchinterval(0.0005)
    # By name, so that importing this module does not import torch and av.
    serve = importlib.import_module("workers.session").serve
    ours = None if shared is None else Shared.of([one.descriptor for one in shared])
    asyncio.run(_until_over(serve(sock, launch, ours)))


async def _until_over(serving: Coroutine[Any, Any, int]) -> None:
    """Ends the process with what ``serving`` returns.

    Right here: all is said and flushed by then, while an orderly end of the loop and the
    interpreter would wait for every thread that a node or a resolver has left, and run the ends
    of foreign libraries, which are known to crash.
    """
    try:
        code = await serving
    except BaseException:  # noqa: BLE001 - nobody is above: it goes to the log
        traceback.print_exc()
        code = 1
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a node may have closed them
            stream.flush()
    os._exit(code)


def _leave_the_fork_server() -> None:
    """The fork server and the resource tracker end when nobody holds these any more. That is for
    the parent alone: what a node forks off may live longer than it should."""
    for owner, name in (
        (forkserver._forkserver, "_forkserver_alive_fd"),
        (resource_tracker._resource_tracker, "_fd"),
    ):
        os.close(getattr(owner, name))
        setattr(owner, name, None)


def _die_with(lifeline: socket.socket) -> None:
    """Have the kernel end this process and its group when the other end of ``lifeline`` closes.

    The loop sees the end of the status pipe too, but not while a node holds the GIL; and the usual
    PR_SET_PDEATHSIG would watch the fork server. ``lifeline`` has to stay open.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
    lifeline.setblocking(False)
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        gone = lifeline.recv(1) == b""
    except BlockingIOError:
        return  # nothing to read: the parent lives
    if gone:  # it died before the signal was armed
        os._exit(1)
