"""What of go-livepeer's orchestrator a registration meets, and a pool's /health beside it.

The answers are those of its ``byoc/job_orchestrator.go``; ``trouble`` is what a test adds.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiohttp import web

SECRET = "orch-s3cret"
TOKEN = "p00l-token"
DEADLINE_S = 30.0


class FakeOrchestrator:
    """``capabilities``: those registered now. ``calls``: every request, in order.

    ``trouble``: answers to come before the usual ones: a status with a text, or "hang", "cut".
    """

    def __init__(self, secret: str = SECRET) -> None:
        self.secret = secret
        self.capabilities: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str, str | None, bytes]] = []
        self.trouble: list[tuple[int, str] | str] = []
        self.hanging = asyncio.Event()
        self.release = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/capability/register", self._register)
        app.router.add_route("*", "/capability/unregister", self._unregister)
        return app

    @property
    def registrations(self) -> list[dict[str, Any]]:
        """The bodies of all that came, refused or not."""
        return [
            json.loads(body)
            for method, path, _, body in self.calls
            if (method, path) == ("POST", "/capability/register")
        ]

    async def _register(self, request: web.Request) -> web.StreamResponse:
        refusal, body = await self._begin(request)
        if refusal is not None:
            return refusal
        capability = json.loads(body)
        self.capabilities[capability["name"]] = capability
        return web.Response(text="ok", content_type="application/json")

    async def _unregister(self, request: web.Request) -> web.StreamResponse:
        refusal, body = await self._begin(request)
        if refusal is not None:
            return refusal
        self.capabilities.pop(body.decode(), None)
        return web.Response(text="ok", content_type="application/json")

    async def _begin(self, request: web.Request) -> tuple[web.Response | None, bytes]:
        body = await request.read()
        auth = request.headers.get("Authorization")
        self.calls.append((request.method, request.path, auth, body))
        if request.method != "POST":
            return web.Response(status=405, text="Method not allowed\n"), body
        if self.trouble:
            trouble = self.trouble.pop(0)
            if trouble == "hang":
                self.hanging.set()
                await self.release.wait()
            elif trouble == "cut":
                assert request.transport is not None
                request.transport.close()
            else:
                assert not isinstance(trouble, str)
                status, text = trouble
                return web.Response(status=status, text=text), body
        if auth != self.secret:
            return web.Response(status=400, text="invalid authorization\n"), body
        return None, body


class FakePool:
    """Its ``GET /health``, and ``GET /version``, which wants ``token`` if there is one."""

    def __init__(self, total: int = 4, free: int = 4) -> None:
        self.total, self.free = total, free
        self.status, self.draining = "IDLE", False
        self.token = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/version", self._version)
        return app

    async def _version(self, request: web.Request) -> web.Response:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "a token is needed"}, status=401)
        return web.json_response({"version": "0"})

    async def _health(self, request: web.Request) -> web.Response:
        slots = {"total": self.total, "free": self.free}
        return web.json_response({"status": self.status, "draining": self.draining, "slots": slots})


@asynccontextmanager
async def serving(
    app: web.Application, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Its URL. Leaving cuts what is open."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls, reuse_address=True)
        await site.start()
        taken = runner.addresses[0][1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{taken}"
    finally:
        await runner.cleanup()


@contextmanager
def plain_server() -> Iterator[int]:
    """Its port. It answers whatever comes, as HTTP without TLS, in a thread of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, *args: Any, **named: Any) -> None:
        pass


async def until(condition: Callable[[], object], what: str) -> None:
    """Returns when it holds. Raises AssertionError after DEADLINE_S."""
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"in vain: {what}"
        await asyncio.sleep(0.02)
