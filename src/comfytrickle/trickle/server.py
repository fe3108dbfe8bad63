"""A trickle server in the process: ``aiohttp`` around :mod:`comfytrickle.trickle.store`.

"Row" numbers are those of docs/trickle.md.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import hdrs, web

from comfytrickle.trickle.handlers import Handlers
from comfytrickle.trickle.protocol import CONTINUE_INTERVAL_S
from comfytrickle.trickle.store import Limits, Store
from comfytrickle.trickle.target import normal_base

log = logging.getLogger(__name__)

# What the application needs of the runner it stands in; TrickleServer.start() uses it.
RUNNER_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # a segment's bytes are the publisher's own
    "handler_cancellation": True,  # a reader that goes away is forgotten at once
    "keepalive_timeout": 120.0,
    "lingering_time": 10.0,  # for a body that nobody wants, so that the reply is not lost
    "shutdown_timeout": 0.1,
}


class TrickleServer:
    """Channels of segments over HTTP, for publishers and subscribers of live data.

    path: base path of all channels. autocreate: a POST on an absent channel makes it.
    changefeed: publish ``_changes``. idle_timeout_s: a channel without a byte for so long is
    closed (0: never), looked at every sweep_interval_s. abort_grace_s: how long a segment whose
    publisher went away in the middle stays open for it to come back.
    """

    def __init__(
        self,
        *,
        path: str = "/",
        autocreate: bool = True,
        changefeed: bool = False,
        idle_timeout_s: float = 300.0,
        sweep_interval_s: float = 60.0,
        abort_grace_s: float = 5.0,
        continue_interval_s: float = CONTINUE_INTERVAL_S,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
    ) -> None:
        if sweep_interval_s <= 0 or continue_interval_s <= 0:
            raise ValueError("sweep_interval_s and continue_interval_s must be longer than 0")
        self._base = normal_base(path)
        self._idle_timeout_s = idle_timeout_s
        self._sweep_interval_s = sweep_interval_s
        self._store = Store(
            clock=time.monotonic, max_channels=limits.max_channels, changefeed=changefeed
        )
        self._handlers = Handlers(
            self._store,
            base=self._base,
            autocreate=autocreate,
            changefeed=changefeed,
            abort_grace_s=abort_grace_s,
            continue_interval_s=continue_interval_s,
            limits=limits,
        )
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._runner: web.AppRunner | None = None
        self._url: str | None = None

        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self._handlers.handle, expect_handler=_expect)
        self.app.on_response_prepare.append(_trim_headers)
        self.app.cleanup_ctx.append(self._sweeping)
        self.app.on_shutdown.append(self._shut_down)

    # --- life ---

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; 0 picks a free port. Raises OSError. A server is started once."""
        if self._runner is not None:
            raise RuntimeError("this trickle server was started already")
        runner = web.AppRunner(self.app, **RUNNER_OPTIONS)
        self._runner = runner
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        address, port = runner.addresses[0][:2]
        self._url = f"http://{f'[{address}]' if ':' in address else address}:{port}{self._base}"

    @property
    def url(self) -> str:
        """Where it listens, with the base path: ``http://127.0.0.1:4567/``."""
        if self._url is None:
            raise RuntimeError("the trickle server has not been started")
        return self._url

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return len(self._store)

    @property
    def active(self) -> int:
        """How many requests are being served."""
        return self._handlers.active

    @property
    def waiting(self) -> int:
        """How many requests have moved no byte yet: waiting GETs and preconnected POSTs."""
        return self._handlers.waiting

    async def close(self) -> None:
        """End all channels (waiting requests are told so), then the connections. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _sweeping(self, _app: web.Application) -> AsyncIterator[None]:
        if self._idle_timeout_s > 0:
            self._arm_sweep()
        yield
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    def _arm_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep_timer = loop.call_later(self._sweep_interval_s, self._sweep)

    def _sweep(self) -> None:
        for name in self._store.sweep(self._idle_timeout_s):
            log.info("channel %s: idle for %g s, removed", name, self._idle_timeout_s)
        self._arm_sweep()

    async def _shut_down(self, _app: web.Application) -> None:
        await self._handlers.shut_down()


async def _expect(request: web.Request) -> None:
    """Leave 100 Continue to the handler: an absent channel is answered with 404, not with 100."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        raise web.HTTPExpectationFailed


async def _trim_headers(_request: web.BaseRequest, reply: web.StreamResponse) -> None:
    """What aiohttp adds and the protocol does not have."""
    reply.headers.popall(hdrs.SERVER, None)
    if reply.content_length == 0:
        reply.headers.popall(hdrs.CONTENT_TYPE, None)
