"""A worker's first steps: say Hello, be configured, and become a stream or an inspector."""

from __future__ import annotations

import logging
import os
import socket
import time

from comfytrickle.errors import ProtocolError
from comfytrickle.logs import open_worker_log
from comfytrickle.messages import (
    ConfigureInspector,
    ConfigureStream,
    ConfigureWarm,
    Drain,
    Exiting,
    Failed,
    Hello,
    Launch,
    ToWorker,
    Warm,
)
from comfytrickle.pipe import Pipe
from comfytrickle.shared import Shared
from workers.inspector import serve_inspector
from workers.priority import in_background
from workers.stream import StreamSession
from workers.warm_engine import WarmEngine, warm_engine

log = logging.getLogger(__name__)


async def serve(sock: socket.socket, launch: Launch, shared: Shared | None) -> int:
    """Run until done; returns the exit code of the process."""
    pipe: Pipe[ToWorker] = await Pipe.open(sock, ToWorker)
    try:
        pipe.send(Hello(pid=os.getpid()))
        warm: WarmEngine | None = None
        while True:
            message = await pipe.receive()
            if not isinstance(message, ConfigureWarm):
                break
            warm = await _warm(pipe, message)
            if warm is None:
                return 1
        match message:
            case ConfigureStream(config=config, launch=stream_launch):
                if stream_launch is not None:
                    open_worker_log(stream_launch)
                return await StreamSession(pipe, config, shared, warm).run()
            case ConfigureInspector(engine=engine_config):
                return await serve_inspector(pipe, engine_config)
            case Drain(reason=reason):
                pipe.send(Exiting(reason))
                await pipe.flush(1.0)
                return 0
            case None:
                log.warning("the parent is gone before it configured this worker")
                return 1
            case other:
                raise ProtocolError(f"{type(other).__name__} came before the configuration")
    finally:
        pipe.close()


async def _warm(pipe: Pipe[ToWorker], wanted: ConfigureWarm) -> WarmEngine | None:
    """The engine for a stream to come; None when it cannot be built (the parent was told)."""
    begun = time.monotonic()
    try:
        warm = await in_background(lambda: warm_engine(wanted))
    except Exception as error:  # a user's node pack may raise anything
        log.exception("the engine cannot be warmed up")
        pipe.send(Failed("startup", f"{type(error).__name__}: {error}", retryable=False))
        await pipe.flush(1.0)
        return None
    pipe.send(Warm(load_s=time.monotonic() - begun))
    return warm
