"""What may stand between two channels: our pool, or the peer's server. Both get the same start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from tests.interop.judging import HEIGHT, WIDTH
from tests.support.peer import PATIENCE_S, Peer
from tests.support.pool import Pool, free_port

STREAM = "interop"


def start_body(source: str, sink: str) -> dict[str, Any]:
    """What a gateway sends to either. ``drop`` is ours: the peer ignores it."""
    return {
        "gateway_request_id": STREAM,
        "subscribe_url": source,
        "publish_url": sink,
        "control_url": None,
        "events_url": None,
        "params": {"width": WIDTH, "height": HEIGHT, "max_framerate": 60, "drop": "never"},
    }


class Stage(Protocol):
    requests: int  # that wait at the trickle server once it has started

    async def ready(self) -> None:
        """Until it is up."""

    async def start(self, source: str, sink: str) -> None: ...

    async def over(self) -> None:
        """Until it has noticed that its source has ended, and has published the rest."""


class OurPool:
    requests = 2  # the source's segment, and a preconnected one of the sink

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ready(self) -> None:
        """It is."""

    async def start(self, source: str, sink: str) -> None:
        body = start_body(source, sink)
        status, answer = await asyncio.to_thread(self._pool.post, "/stream/start", body)
        assert status == 200 and answer["status"] == "success", answer

    async def over(self) -> None:
        def ended(status: dict[str, Any]) -> bool:
            return not status["running"]

        status = await asyncio.to_thread(self._pool.wait_status, STREAM, ended, PATIENCE_S)
        frames = status["frames"]
        assert status["exit_cause"] == "source_ended", status
        assert frames["in"] == frames["out"] and frames["dropped"] == {}, status
        assert status["segments"]["lost"] == 0, status


class PeerServer:
    requests = 1  # its publisher comes with the first frame

    def __init__(self, session: aiohttp.ClientSession, peer: Peer, url: str) -> None:
        self._session = session
        self._peer = peer
        self._url = url

    async def get(self, path: str) -> dict[str, Any]:
        async with self._session.get(self._url + path) as reply:
            return dict(await reply.json())

    async def ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if (await self.get("/health"))["status"] == "IDLE":
                    return
            except aiohttp.ClientConnectionError:
                pass  # not there yet; the deadline below ends it
            self._peer.check_alive()
            assert time.monotonic() < deadline, self._peer.log()
            await asyncio.sleep(0.02)

    async def start(self, source: str, sink: str) -> None:
        body = start_body(source, sink)
        async with self._session.post(self._url + "/stream/start", json=body) as reply:
            answer = await reply.json()
            assert reply.status == 200 and answer["status"] == "success", answer

    async def over(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (status := await self.get("/stream/status"))["client_running"]:
            assert time.monotonic() < deadline, status
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_peer_server(
    session: aiohttp.ClientSession, site: Path, folder: Path
) -> AsyncIterator[PeerServer]:
    port = free_port()
    async with Peer("serve", site, folder, port=port) as peer:
        yield PeerServer(session, peer, f"http://127.0.0.1:{port}")
