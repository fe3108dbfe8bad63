"""Where a worker process begins: light, for it is all of ``workers`` that the parent imports.

The order matters: own process group, log file, environment (the device is pinned there), and only
then the modules that could initialise CUDA.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import os
import signal
import socket
import sys

import msgspec

from comfytrickle.logs import open_worker_log
from comfytrickle.messages import Launch


def main(sock: socket.socket, launch_json: bytes) -> None:
    """Serve what the parent configures over ``sock``; the process ends when this returns.

    ``launch_json`` is an encoded :class:`comfytrickle.messages.Launch`.
    """
    launch = msgspec.json.decode(launch_json, type=Launch)
    # A group of its own: the parent can end it with all it forked, and a Ctrl-C at the terminal
    # goes to the parent alone, which then drains us.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(launch.env)
    open_worker_log(launch)
    faulthandler.enable(all_threads=True)
    # Shorter turns for threads: a node that computes in Python would otherwise hold the loop up
    # by 5 ms at every hop (measured: 11 ms p99, 1.5 ms with this).
    sys.setswitchinterval(0.0005)
    # By name, so that importing this module does not import torch and av.
    serve = importlib.import_module("workers.session").serve
    sys.exit(asyncio.run(serve(sock, launch)))
