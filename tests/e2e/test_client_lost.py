"""The Python client where a token is asked for, and when the server goes away."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comfytrickle.client import AsyncClient, Client, Ended, Refused, Unreachable
from tests.support.pool import running_pool

TOKEN = "sesame, open"
FRAME = np.full((64, 64, 3), 99, np.uint8)


async def test_a_token_and_a_server_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYTRICKLE_AUTH_TOKEN", TOKEN)
    with running_pool(tmp_path, "--devices", "cpu:1") as pool:
        for wrong in (None, "something else"):
            async with AsyncClient(pool.url, wrong) as stranger:
                for call in (stranger.list, stranger.start, stranger.events().__anext__,
                             aiter(stranger.stream("a").frames()).__anext__,
                             stranger.stream("a").camera().__aenter__):  # fmt: skip
                    with pytest.raises(Refused, match="Bearer token is needed") as refused:
                        await call()
                    assert refused.value.status == 401
                assert (await stranger.health())["status"] == "IDLE"
        async with AsyncClient(pool.url, TOKEN) as client:
            stream = await client.start()
            await stream.wait_ready()
            seen, heard = asyncio.Event(), asyncio.Event()

            async def watch() -> None:
                async for picture in stream.frames(fps=60):
                    assert np.abs(picture.rgb().astype(int) - 99).max() <= 2
                    seen.set()

            async def listen() -> None:
                async for event in client.events():
                    if event.name == "state":
                        heard.set()

            async def send() -> None:
                async with stream.camera() as camera:
                    while True:
                        await camera.send(FRAME)
                        await asyncio.sleep(1 / 30)

            tasks = [asyncio.create_task(work()) for work in (watch, listen, send)]
            await asyncio.wait_for(asyncio.gather(seen.wait(), heard.wait()), 30)
            pool.process.send_signal(signal.SIGKILL)
            results: list[Any] = await asyncio.wait_for(
                asyncio.gather(*tasks, return_exceptions=True), 30
            )
            assert [type(result) for result in results] == [Unreachable] * 3, results
            assert "/events" in str(results[1])
            with pytest.raises(Unreachable):
                await stream.status()


def test_a_server_that_ends_properly(tmp_path: Path) -> None:
    """Without await this time. Its streams end, and so does what is iterated."""
    with running_pool(tmp_path, "--devices", "cpu:1") as pool, Client(pool.url) as client:
        stream = client.start()
        stream.wait_ready()
        with stream.frames() as pictures, stream.camera() as camera:
            events, shown = client.events(), iter(pictures)
            assert {next(events).name, next(events).name} == {"streams", "health"}
            while not camera.send(FRAME).accepted:
                pass
            pool.process.send_signal(signal.SIGTERM)
            assert [p.side for p in shown] in ([], ["out"])
            with pytest.raises((Ended, Unreachable)):
                while True:
                    camera.send(FRAME)
            names = [event.name for event in events]
            assert set(names) <= {"state", "health", "gone"}
