"""A worker's first steps: say Hello, be configured, and become a stream or an inspector."""

from __future__ import annotations

import logging
import os
import socket

from comfytrickle.errors import ProtocolError
from comfytrickle.messages import (
    ConfigureInspector,
    ConfigureStream,
    Hello,
    Launch,
    ToWorker,
)
from comfytrickle.pipe import Pipe
from comfytrickle.progress import ProgressPage
from workers.inspector import serve_inspector
from workers.stream import StreamSession

log = logging.getLogger(__name__)


async def serve(sock: socket.socket, launch: Launch, page: ProgressPage | None) -> int:
    """Run until done; returns the exit code of the process."""
    pipe: Pipe[ToWorker] = await Pipe.open(sock, ToWorker)
    try:
        pipe.send(Hello(pid=os.getpid()))
        match await pipe.receive():
            case ConfigureStream(config=config):
                return await StreamSession(pipe, config, page).run()
            case ConfigureInspector(engine=engine):
                return await serve_inspector(pipe, engine)
            case None:
                log.warning("the parent is gone before it configured this worker")
                return 1
            case other:
                raise ProtocolError(f"{type(other).__name__} came before the configuration")
    finally:
        pipe.close()
