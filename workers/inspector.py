"""A worker without a stream: it holds an engine and answers what only node classes can tell.

So the control plane need not import nodes, and a node pack that crashes when it is loaded or asked
takes down this process alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from comfytrickle.errors import InvalidInput, NodeError
from comfytrickle.messages import (
    Describe,
    Described,
    Drain,
    DumpStacks,
    EngineConfig,
    Exiting,
    Failed,
    Inspect,
    Inspected,
    Message,
    Ready,
    ToWorker,
)
from comfytrickle.pipe import Pipe
from comfytrickle.workflow.parse import InvalidShape, parse_prompt
from workers.engine.factory import build_engine
from workers.engine.live import live_outlook
from workers.engine.protocol import Engine
from workers.engine.refusals import besides
from workers.stacks import dump_stacks

log = logging.getLogger(__name__)


async def serve_inspector(pipe: Pipe[ToWorker], config: EngineConfig) -> int:
    """Answer one question after the other until told to go. Returns the exit code."""
    loop = asyncio.get_running_loop()
    # All of an engine's calls come from one thread, as in a stream.
    with ThreadPoolExecutor(1, thread_name_prefix="engine") as thread:
        begun = time.monotonic()
        try:
            engine = await loop.run_in_executor(thread, build_engine, config)
        except Exception as error:
            log.exception("the engine cannot be built")
            pipe.send(Failed("startup", f"{type(error).__name__}: {error}", retryable=False))
            await pipe.flush(1.0)
            return 1
        for path, reason in engine.failed_packs().items():
            pipe.send(Failed("startup", f"node pack {path}: {reason}"))
        pipe.send(Ready(load_s=time.monotonic() - begun, device_name=str(engine.device)))
        while True:
            message = await pipe.receive()
            match message:
                case Inspect():
                    pipe.send(await loop.run_in_executor(thread, _inspect, engine, message))
                case Describe():
                    pipe.send(await loop.run_in_executor(thread, _describe, engine, message))
                case DumpStacks():
                    dump_stacks()
                case Drain(reason=reason):
                    pipe.send(Exiting(reason))
                    await pipe.flush(1.0)
                    return 0
                case None:
                    return 1  # the parent is gone
                case _:
                    log.error("not for an inspector: %s", type(message).__name__)


def _inspect(engine: Engine, question: Inspect) -> Message:
    detail = {}
    try:
        workflow = parse_prompt(question.workflow)
        errors = engine.check(workflow)
        if not errors:
            detail = live_outlook(engine, workflow)
    except InvalidShape as error:
        errors = error.errors
        if error.workflow is not None:
            errors = [*errors, *besides(errors, engine.check(error.workflow))]
    except InvalidInput as error:
        errors = [NodeError("invalid_prompt", str(error))]
    return Inspected(question.call_id, valid=not errors, errors=errors, detail=detail)


def _describe(engine: Engine, question: Describe) -> Message:
    return Described(question.call_id, engine.object_info(), engine.failed_packs())
