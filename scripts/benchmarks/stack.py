"""The processes around the worker under test: a trickle server and a control plane."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def environment() -> dict[str, str]:
    """So that the benchmark runs from a plain checkout too."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT),
                                                         str(ROOT / "scripts")])}  # fmt: skip


@dataclass
class Stack:
    """Where things are."""

    channels: str  # base URL of the trickle server
    api: str  # base URL of the control plane
    pid: int  # of the control plane
    health_s: float  # from its start to its first /health answer

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """JSON of the answer; raises urllib.error.HTTPError."""
        return await asyncio.to_thread(self._call, method, path, body)

    def _call(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.api + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read())

    async def start(self, name: str, **params: Any) -> Any:
        """Start stream ``name`` from channel NAME-in (or ``source``) to NAME-out."""
        source = params.pop("source", f"{name}-in")
        return await self.call(
            "POST",
            "/stream/start",
            {
                "subscribe_url": self.channels + source,
                "publish_url": self.channels + f"{name}-out",
                "gateway_request_id": name,
                "params": params,
            },
        )

    async def until(self, path: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                await self.call("GET", path)
                return
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(*flags: str) -> AsyncIterator[Stack]:
    """Both servers as processes of their own, ended on leaving. ``flags``: of the control plane."""
    trickle, api = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "out").open("wb") as out:

        def start(*command: str) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-m", *command], stdout=out, stderr=out, env=environment()
            )

        server = start("comfytrickle.cli.main", "trickle-server", "--port", str(trickle))
        begun = time.monotonic()
        control = start("control_plane", "--port", str(api), "--log-dir", folder, *flags)
        try:
            stack = Stack(
                f"http://127.0.0.1:{trickle}/", f"http://127.0.0.1:{api}", control.pid, 0.0
            )
            await stack.until("/health", 20)
            stack.health_s = time.monotonic() - begun
            await stack.until("/ready", 60)
            yield stack
        finally:
            for process in (control, server):
                process.terminate()
            for process in (control, server):
                await asyncio.to_thread(process.wait, 30)
