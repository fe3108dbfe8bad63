"""The demo's child processes: a trickle server and a control plane, which never outlive it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp

from comfytrickle.errors import ComfytrickleError

STREAM = "demo"  # its id
READY_WITHIN_S = 90.0  # imports of torch on a cold disk
END_WITHIN_S = 10.0
_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 30


class DemoFailed(ComfytrickleError):
    """The demo cannot go on; the message is for the user."""


class Child:
    """``python -m MODULE ARGUMENTS``, whose output says where it listens.

    Owns the process: whoever calls :meth:`start` calls :meth:`close` in a finally. ``log`` takes
    all that it prints. ``says``: what stands before the URL on the line that has it.
    """

    def __init__(self, module: str, *arguments: str, log: Path, says: str = "") -> None:
        self.module = module
        self.log = log
        self._arguments = arguments
        self._says = says
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """The URL, once it listens. Raises DemoFailed with its last words."""
        # what is configured for another control plane on this machine is not meant for this one
        environment = {k: v for k, v in os.environ.items() if not k.startswith("COMFYTRICKLE_")}
        environment["PYTHONUNBUFFERED"] = "1"
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self.module, *self._arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            preexec_fn=_in_the_child,  # the demo has no threads of its own yet
        )
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._keep_output(listening))
        try:
            url = await asyncio.wait_for(listening, READY_WITHIN_S)
        except asyncio.TimeoutError:
            raise self.failure(f"does not listen after {READY_WITHIN_S:.0f} s") from None
        if not url:
            raise self.failure("ended while it started")
        return url

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def close(self) -> None:
        """SIGTERM, then SIGKILL to its process group; returns when it is gone. Idempotent."""
        if self._process is None:
            return
        try:
            if self._process.returncode is None:
                self._process.terminate()
                await asyncio.wait_for(self._process.wait(), END_WITHIN_S)
        except asyncio.TimeoutError:
            pass  # the finally ends it
        finally:
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                await self._process.wait()
            if self._reader is not None:
                await self._reader

    def failure(self, what: str) -> DemoFailed:
        """``what`` and the end of its log."""
        return DemoFailed(f"{self.module}: {what}{_tail(self.log)}")

    async def _keep_output(self, listening: asyncio.Future[str]) -> None:
        assert self._process is not None and self._process.stdout is not None
        with self.log.open("wb") as log:
            while line := await self._process.stdout.readline():
                log.write(line)
                log.flush()
                text = line.decode(errors="replace").strip()
                if text.startswith(f"{self._says}http") and not listening.done():
                    listening.set_result(text[len(self._says) :].rstrip("/"))
        if not listening.done():
            listening.set_result("")


class ControlPlane:
    """A control plane of the demo's own, and its HTTP API."""

    def __init__(self, folder: Path, options: tuple[str, ...] = ()) -> None:
        self._worker_logs = folder / "workers"
        arguments = ("--host", "127.0.0.1", "--port", "0", "--log-dir", str(self._worker_logs))
        self._child = Child(
            "control_plane",
            *arguments,
            *options,
            log=folder / "control_plane.log",
            says="listening on ",
        )
        self._session: aiohttp.ClientSession | None = None
        self.url = ""

    async def start(self) -> None:
        """Returns when it says that it is ready. Raises DemoFailed."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        self.url = await self._child.start()
        try:
            await asyncio.wait_for(self._until_ready(), READY_WITHIN_S)
        except asyncio.TimeoutError:
            raise self._child.failure(f"not ready after {READY_WITHIN_S:.0f} s") from None

    async def request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of an answer. Raises DemoFailed when none came."""
        assert self._session is not None
        try:
            async with self._session.request(method, self.url + path, json=body) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
            what = f"{method} {path}: {error or type(error).__name__}"
            raise self._child.failure(what) from error

    def stream_failure(self, what: str) -> DemoFailed:
        """``what`` and the ends of the logs, the workers' last, under their names."""
        logs = [self._child.log, *sorted(self._worker_logs.rglob("*.log"))]
        return DemoFailed(what + "".join(f"\n{log.name}:{_tail(log)}" for log in logs))

    async def close(self) -> None:
        """As of a child. Idempotent."""
        try:
            if self._session is not None:
                await self._session.close()
        finally:
            await self._child.close()

    async def _until_ready(self) -> None:
        while True:
            status, _ = await self.request("GET", "/ready")
            if status == 200:
                return
            _, health = await self.request("GET", "/health")
            if health.get("status") == "ERROR":  # it would go on trying; whoever looks on would not
                raise DemoFailed(f"the control plane cannot serve: {health.get('reason')}")
            await asyncio.sleep(0.05)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    return "".join(f"\n  | {line}" for line in lines[-_TAIL_LINES:])


def _in_the_child() -> None:
    """A process group of its own (Ctrl-C is for the demo, which then ends the child in order), and
    SIGTERM from the kernel when the demo dies without a word."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
