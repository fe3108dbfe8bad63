"""A control plane in a process of its own, as a user runs it, and a small client for tests."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.support import leaks

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Pool:
    """The running control plane. All calls are plain HTTP."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path, log_dir: Path):
        self.process = process
        self.url = url
        self.log = log
        self.log_dir = log_dir

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON (or text) of the answer."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            data=data,
            method=method,
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                status, raw, kind = reply.status, reply.read(), reply.headers.get_content_type()
        except urllib.error.HTTPError as error:
            with error:
                status, raw, kind = error.code, error.read(), error.headers.get_content_type()
        return status, json.loads(raw) if kind == "application/json" else raw.decode()

    def get(self, path: str) -> tuple[int, Any]:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        return self.call("POST", path, body)

    def start(self, stream_id: str, subscribe: str, publish: str, **params: Any) -> dict[str, Any]:
        """Start a stream; the answer. Fails the test when it is refused."""
        status, answer = self.post(
            "/stream/start",
            {
                "subscribe_url": subscribe,
                "publish_url": publish,
                "gateway_request_id": stream_id,
                "params": params,
            },
        )
        assert status == 200, answer
        return dict(answer)

    def status(self, stream_id: str) -> dict[str, Any]:
        status, answer = self.get(f"/stream/{stream_id}/status")
        assert status == 200, answer
        return dict(answer)

    def wait_status(self, stream_id: str, wanted: Any, timeout: float = 30.0) -> dict[str, Any]:
        """Until ``wanted(status)`` is true. Blocking: call it in a thread from a test's loop."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status(stream_id)
            if wanted(status):
                return status
            assert time.monotonic() < deadline, f"not in {timeout} s: {json.dumps(status)}"
            time.sleep(0.05)

    def children(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children(recursive=True))


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        assert process.poll() is None, f"it ended with {process.returncode}:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(url + "/ready", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError):
            pass  # not there yet; the deadline below ends it
        assert time.monotonic() < deadline, f"not ready in {timeout} s:\n{log.read_text()}"
        time.sleep(0.02)


@contextlib.contextmanager
def running_pool(
    folder: Path, *flags: str, ready: bool = True, port: int | None = None
) -> Iterator[Pool]:
    """Start it, wait until it is ready; at the end SIGTERM it and check that nothing is left."""
    port = port or free_port()
    log, log_dir = folder / "control-plane.log", folder / "logs"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "control_plane", "--port", str(port),
             "--log-dir", str(log_dir), *flags],
            cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    pool = Pool(process, f"http://127.0.0.1:{port}", log, log_dir)
    leaks.shared.add(process.pid)
    try:
        if ready:
            wait_ready(pool.url, process, log, 60)
        yield pool
    finally:
        family = pool.children() if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise AssertionError(f"SIGTERM did not end it:\n{log.read_text()}") from None
        finally:
            leaks.shared.discard(process.pid)
            _, alive = psutil.wait_procs(family, timeout=5)
            for child in alive:
                child.kill()
        assert not alive, f"processes outlived the control plane: {alive}\n{log.read_text()}"
        assert code in (0, -signal.SIGKILL), f"it ended with {code}:\n{log.read_text()}"
