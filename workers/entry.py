"""Where a worker process begins: light, for it is all of ``workers`` that the parent imports.

The order matters: own process group, log file, environment (the device is pinned there), and only
then the modules that could initialise CUDA.
"""

from __future__ import annotations

import asyncio
import faulthandler
import fcntl
import importlib
import os
import signal
import socket
import sys

import msgspec

from comfytrickle.logs import open_worker_log
from comfytrickle.messages import Launch
from comfytrickle.progress import ProgressPage
from workers.inherited import Inherited

# fcntl.F_SETSIG of Linux (fcntl(2)); Python names it only from 3.11 on some builds.
_F_SETSIG = 10
STACKS_SIGNAL = signal.SIGUSR1


def main(
    sock: socket.socket, lifeline: socket.socket, page: Inherited | None, launch_json: bytes
) -> None:
    """Serve what the parent configures over ``sock``; the process ends when this returns.

    ``lifeline``: a socket on which nothing is ever sent and whose other end the parent alone holds.
    ``page``: where a stream's progress is written, if anybody wants to know.
    ``launch_json`` is an encoded :class:`comfytrickle.messages.Launch`.
    """
    _die_with(lifeline)
    launch = msgspec.json.decode(launch_json, type=Launch)
    # A group of its own: the parent can end it with all it forked, and a Ctrl-C at the terminal
    # goes to the parent alone, which then drains us.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(launch.env)
    open_worker_log(launch)
    faulthandler.enable(all_threads=True)
    # A hung worker is asked by this signal for its stacks; the handler is in C and needs no GIL.
    faulthandler.register(STACKS_SIGNAL, all_threads=True)
    # Shorter turns for threads: a node that computes in Python would otherwise hold the loop up
    # by 5 ms at every hop (measured: 11 ms p99, 1.5 ms with this).
    sys.setswitchinterval(0.0005)
    # By name, so that importing this module does not import torch and av.
    serve = importlib.import_module("workers.session").serve
    progress = None if page is None else ProgressPage(page.descriptor)
    sys.exit(asyncio.run(serve(sock, launch, progress)))


def _die_with(lifeline: socket.socket) -> None:
    """Have the kernel end this process when the other end of ``lifeline`` closes.

    The loop sees the end of the status pipe too, but not while a node holds the GIL; and the usual
    PR_SET_PDEATHSIG would watch the fork server. ``lifeline`` has to stay open.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
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
