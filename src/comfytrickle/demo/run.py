"""The demo from start to end: who starts, in which order, and who ends it all."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from comfytrickle.cli.running import on_signal
from comfytrickle.demo.children import STREAM, Child, ControlPlane, DemoFailed
from comfytrickle.demo.ledger import Ledger
from comfytrickle.demo.report import live_line, refusal, result
from comfytrickle.demo.sink import Sink
from comfytrickle.demo.workflows import DemoWorkflow
from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.pattern import Pattern
from comfytrickle.testsrc.sending import Sent, send
from comfytrickle.testsrc.sources import Chunk, pattern_chunks
from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.subscriber import Subscriber

STREAM_READY_S = 120.0  # a user's workflow may load a model
DRAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """``plane`` are further flags of the control plane; ``seconds`` None: until a signal."""

    workflow: DemoWorkflow
    width: int = 512
    height: int = 512
    fps: Fraction = Fraction(30)
    seconds: float | None = None
    out: Path | None = None
    plane: tuple[str, ...] = ()


def say(text: str) -> None:
    """For the user; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)


async def run_demo(options: DemoOptions) -> dict[str, Any]:
    """Run it; the result as :func:`comfytrickle.demo.report.result` has it.

    The first signal ends the source, what is on its way still arrives; a second one ends all.
    Raises DemoFailed, InvalidInput, TrickleError; no process is left in any case.
    """
    main = asyncio.current_task()
    assert main is not None
    stop = asyncio.Event()

    def signalled() -> None:
        if stop.is_set():
            main.cancel()
        stop.set()

    with on_signal(signalled):
        try:
            return await _Demo(options, stop).run()
        except asyncio.CancelledError:
            raise DemoFailed("interrupted") from None


class _Demo:
    def __init__(self, options: DemoOptions, stop: asyncio.Event) -> None:
        self._options = options
        self._stop = stop
        # A workflow of the user's may well blur or paint over the counter.
        self._ledger = Ledger(needs_counter=options.workflow.reference is not None)
        self._sent = Sent()

    async def run(self) -> dict[str, Any]:
        with ExitStack() as files:
            folder = Path(files.enter_context(tempfile.TemporaryDirectory(prefix="comfytrickle-")))
            out = None
            if self._options.out is not None:
                out = files.enter_context(self._options.out.open("wb"))
            pattern = Pattern(self._options.width, self._options.height, self._options.fps)
            sink = Sink(self._ledger, pattern, self._options.workflow, out)
            async with AsyncExitStack() as stack:
                server = Child(
                    "comfytrickle.cli.main",
                    *("trickle-server", "--port", "0"),
                    log=folder / "trickle_server.log",
                )
                stack.push_async_callback(server.close)
                plane = ControlPlane(folder, self._options.plane)
                stack.push_async_callback(plane.close)
                say("starting a trickle server and a control plane ...")
                url = await self._unless_stopped(_both(server, plane))
                session = await stack.enter_async_context(open_session())
                publisher = Publisher(session, f"{url}/demo-in")
                stack.push_async_callback(publisher.close)
                subscriber = Subscriber(session, f"{url}/demo-out", start=0)
                stack.push_async_callback(subscriber.aclose)
                await publisher.start()
                reading = asyncio.create_task(sink.run(subscriber))
                stack.push_async_callback(_end, reading)
                await self._unless_stopped(self._start_stream(plane, url))
                say(f"running: {self._options.workflow.name}, watch it with")
                say(f"  {_command()} pull {url}/demo-out - | ffplay -fflags nobuffer -")
                say(f"or in a browser: {plane.url}/#/stream/{STREAM}")
                say(f"status: {plane.url}/stream/{STREAM}/status")
                return await self._stream(publisher, reading, plane, sink)

    async def _unless_stopped(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What ``work`` gives; DemoFailed when a signal comes first."""
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise DemoFailed("interrupted before the stream ran")
            return working.result()
        finally:
            await _end(stopping)
            await _end(working)

    async def _start_stream(self, plane: ControlPlane, url: str) -> None:
        body = {
            "gateway_request_id": STREAM,
            "subscribe_url": f"{url}/demo-in",
            "publish_url": f"{url}/demo-out",
            "params": {"prompt": self._options.workflow.graph},
        }
        status, answer = await plane.request("POST", "/stream/start", body)
        if status != 200:
            raise DemoFailed(f"the stream was refused with {status}: {refusal(answer)}")
        deadline = time.monotonic() + STREAM_READY_S
        while True:
            report = await _status(plane)
            if report["pipeline_ready"]:
                return
            if not report["running"]:
                raise plane.stream_failure(
                    f"the stream ended while it started: {report['last_error']}"
                )
            if time.monotonic() > deadline:
                raise plane.stream_failure(f"the stream is not ready after {STREAM_READY_S:.0f} s")
            await asyncio.sleep(0.05)

    async def _stream(
        self, publisher: Publisher, reading: asyncio.Task[None], plane: ControlPlane, sink: Sink
    ) -> dict[str, Any]:
        options = self._options
        spec = EncoderSpec(
            options.width, options.height, options.fps, gop=max(1, round(options.fps))
        )
        frames = None if options.seconds is None else max(1, int(options.seconds * options.fps))
        began = time.monotonic()
        sending = asyncio.create_task(
            send(
                publisher,
                pattern_chunks(spec, frames),
                self._sent,
                realtime=True,
                before_write=self._before_write,
            )
        )
        stopping = asyncio.create_task(self._stop.wait())
        showing = asyncio.create_task(self._show())
        faults = []
        try:
            await asyncio.wait({sending, stopping, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not sending.done():
                reading.result()
                faults.append("the output channel ended before the source")
            elif sending.done():
                sending.result()
        finally:
            await _end(sending)
            await _end(stopping)
            seconds = time.monotonic() - began
            report = await _status(plane)  # while the worker's figures are fresh
            await publisher.close()
            await asyncio.wait({reading}, timeout=DRAIN_S)
            await _end(showing)
        if not reading.done():
            faults.append(f"the output channel did not end within {DRAIN_S:.0f} s after the source")
        else:
            reading.result()
        if faults:
            say(str(plane.stream_failure("what the logs say:")))
        self._ledger.close()
        faults += self._ledger.faults()
        if report["restarts"]:
            faults.append(f"the worker was restarted {report['restarts']} times")
        facts = {
            "size": f"{options.width}x{options.height}",
            "source_fps": float(options.fps),
            "late": self._sent.late,
            "changed": sink.changed,
            "from_source": _rounded(sink.from_source),
            "from_reference": _rounded(sink.from_reference),
            "bytes_out": sink.bytes,
            "dropped": report["frames"]["dropped"],
            "worker_latency_ms": report["latency_ms"],
        }
        return result(
            self._ledger,
            workflow=options.workflow.name,
            seconds=seconds,
            facts=facts,
            faults=faults,
        )

    def _before_write(self, chunk: Chunk) -> None:
        self._ledger.sent(self._ledger.frames_in, time.monotonic(), chunk.pts)

    async def _show(self) -> None:
        """A line that is rewritten on a terminal, else a line a second."""
        terminal = sys.stderr.isatty()
        try:
            while True:
                await asyncio.sleep(0.25 if terminal else 1)
                line = live_line(self._ledger)
                print(
                    f"\r{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr
                )
        finally:
            if terminal:
                print(file=sys.stderr)


async def _both(server: Child, plane: ControlPlane) -> str:
    """Start both at once; the server's URL."""
    url, _ = await asyncio.gather(server.start(), plane.start())
    return url


async def _status(plane: ControlPlane) -> dict[str, Any]:
    status, answer = await plane.request("GET", f"/stream/{STREAM}/status")
    if status != 200:
        raise DemoFailed(f"no status of the stream: {status} {answer}")
    report: dict[str, Any] = answer
    return report


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel and wait; what it raised is the business of whoever asked for its result."""
    task.cancel()
    await asyncio.wait({task})


def _command() -> str:
    """How to call comfytrickle from the user's shell, whose PATH may not have the environment."""
    beside = Path(sys.executable).with_name("comfytrickle")
    on_path = shutil.which("comfytrickle")
    return str(beside) if on_path is None and beside.exists() else "comfytrickle"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
