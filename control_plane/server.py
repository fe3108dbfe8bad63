"""Listening, signals, and the way down."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from aiohttp import web

from comfytrickle.errors import InvalidInput, listen_problem
from comfytrickle.logs import log_to_stderr
from control_plane.api.app import build_app
from control_plane.service import Service
from control_plane.settings import Settings, SettingsError

log = logging.getLogger(__name__)

# After the drain nobody has a reason to wait: what is still open is a reader of logs, or stuck.
CONNECTIONS_END_S = 2.0


def run(settings: Settings) -> int:
    """Serve until a signal. Returns the exit status. Raises SettingsError."""
    log_to_stderr(settings.log_level)
    return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    asked_to_end, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if asked_to_end.is_set():
            hurry.set()
        asked_to_end.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    try:
        service = Service(settings)
    except InvalidInput as error:
        raise SettingsError(str(error)) from error
    runner = web.AppRunner(build_app(service), access_log=None, shutdown_timeout=CONNECTIONS_END_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            log.error("%s", listen_problem(settings.host, settings.port, error))
            return 1
        # Read by scripts that asked for port 0.
        for address in runner.addresses:
            print(f"listening on http://{_host_port(address)}", file=sys.stderr, flush=True)
        print(f"the page: {_page_url(runner.addresses[0])}", file=sys.stderr, flush=True)
        return await _until_asked(service, asked_to_end, hurry)
    finally:
        await runner.cleanup()


async def _until_asked(service: Service, asked_to_end: asyncio.Event, hurry: asyncio.Event) -> int:
    booting = asyncio.create_task(service.boot())
    asked = asyncio.create_task(asked_to_end.wait())
    await asyncio.wait([booting, asked], return_when=asyncio.FIRST_COMPLETED)
    result = 0
    if booting.done() and booting.exception() is not None:
        log.error("cannot serve: %s", booting.exception())
        result = 1
    else:
        await asked
        log.info(
            "asked to end: no new streams, draining %d", len(service.streams.registry.active())
        )
    asked.cancel()
    booting.cancel()
    await asyncio.wait([booting])
    await service.close(hurry)
    log.info("ended")
    return result


def _page_url(address: tuple[str, int]) -> str:
    """Where a browser on this machine finds it."""
    host, port = address[:2]
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{_host_port((here, port))}/"


def _host_port(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
