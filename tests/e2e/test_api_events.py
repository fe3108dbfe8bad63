"""GET /events of a running control plane; the params that a stream runs with; the examples."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from control_plane.api.operations import OPERATIONS
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool
from tests.support.streams import example

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    flags = ("--devices", "cpu:2", "--keep-finished-s", "2")
    with running_pool(tmp_path_factory.mktemp("pool"), *flags) as pool:
        yield pool


class Events:
    """One connection to /events."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self.reply = reply

    async def next(self) -> tuple[str, Any]:
        """Name and data of the next event; ("", None) at the end."""
        name = ""
        while line := await asyncio.wait_for(self.reply.content.readline(), PATIENCE_S):
            text = line.decode().rstrip("\n")
            if text.startswith("event: "):
                name = text.removeprefix("event: ")
            elif text.startswith("data: "):
                data = json.loads(text.removeprefix("data: "))
                self._as_described(name, data)
                return name, data
        return "", None

    async def until(self, wanted: str, condition: Any) -> Any:
        """The data of the first event of that name for which the condition holds."""
        while True:
            name, data = await self.next()
            assert name, f"the events ended before {wanted}"
            if name == wanted and condition(data):
                return data

    def _as_described(self, name: str, data: Any) -> None:
        msgspec.convert(data, OPERATIONS["GET", "/events"].events[name])


@asynccontextmanager
async def watching(pool: Pool) -> AsyncIterator[Events]:
    limits = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=limits, read_bufsize=1 << 20) as session,
        session.get(pool.url + "/events") as reply,
    ):
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        assert reply.headers["Cache-Control"] == "no-store"
        yield Events(reply)


async def test_a_stream_is_followed_from_its_start_until_it_is_forgotten(
    api: Api, live: Live
) -> None:
    async with live.source("in"), watching(api.pool) as events:
        name, health = await events.next()
        assert (name, health["slots"]) == ("health", {"total": 2, "free": 2})
        assert await events.next() == ("streams", {"streams": {}, "count": 0})
        await api.start("seen", live.url("in"), live.url("out"))
        first = await events.until("state", lambda s: s["request_id"] == "seen")
        assert first.keys() == {*(await api.status("seen")), "changes"}
        await events.until("health", lambda h: h["slots"]["free"] == 1)
        live_one = await events.until("state", lambda s: s["health"] == "ok")
        assert live_one["fps"]["in"] > 0 and live_one["frames"]["out"] > 0
        async with watching(api.pool) as later:
            await later.next()
            _, known = await later.next()
            assert known["count"] == 1 and known["streams"]["seen"]["running"]
            await api.post("/stream/seen/stop")
            for one in (events, later):
                ended = await one.until("state", lambda s: not s["running"])
                assert (ended["state"], ended["exit_cause"]) == ("exited", "requested")
        assert await events.until("gone", lambda _: True) == {"request_id": "seen"}
        assert (await api.get("/stream/seen/status"))[0] == 404


async def test_whoever_does_not_read_holds_nobody_up(api: Api, live: Live) -> None:
    """One that has stopped reading, with its buffers full, is nothing to the others."""
    parts = urlsplit(api.pool.url)
    assert parts.hostname is not None
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((parts.hostname, parts.port))
        deaf.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        async with watching(api.pool) as events:
            await events.next()
            await api.start("on", live.url("in"), live.url("out"))
            await events.until("state", lambda s: s["health"] == "waiting")
            assert (await api.get("/health"))[0] == 200


async def test_the_events_end_with_the_control_plane(tmp_path: Path) -> None:
    with running_pool(tmp_path, "--devices", "cpu:1") as pool:
        async with watching(pool) as events:
            assert (await events.next())[0] == "health"
            pool.process.terminate()
            while (event := await events.next())[0]:
                assert event[0] in ("streams", "health")
        assert await asyncio.to_thread(pool.process.wait, 30) == 0


async def test_the_params_that_run_can_be_read_and_sent_again(api: Api, live: Live) -> None:
    graph = example("blur")
    await api.start("mine", live.url("in"), live.url("out"), prompt=graph, encode={"crf": 30})
    await api.wait("mine", lambda s: s["pipeline_ready"])
    status, told = await api.get("/stream/mine/params")
    assert (status, told["request_id"], told["revision"]) == (200, "mine", 0)
    params = told["params"]
    assert params["prompt"] == graph and params["encode"]["crf"] == 30
    assert (params["engine"], params["drop"], params["width"]) == ("embedded", "latest", None)
    for change, revision in (({"width": 64, "height": 64}, 1), ({"prompt": example("invert")}, 2)):
        assert (await api.post("/stream/mine/params", change))[1]["revision"] == revision
    told = (await api.get("/stream/mine/params"))[1]
    assert told["revision"] == 2 and told["params"]["prompt"] == example("invert")
    assert (told["params"]["width"], told["params"]["height"]) == (64, 64)
    again = {key: value for key, value in told["params"].items() if value is not None}
    status, answer = await api.post("/stream/mine/params", {"params": again})
    assert status == 200, answer
    assert (await api.get("/stream/none/params"))[0] == 404


async def test_the_examples_can_run(api: Api) -> None:
    listed = (await api.get("/examples"))[1]["examples"]
    assert {"name": "invert", "shows": "a negative", "models": False} in listed
    for entry in listed:
        status, workflow = await api.get(f"/examples/{entry['name']}")
        assert status == 200
        if not entry["models"]:
            assert (await api.post("/workflow/validate", workflow))[1]["valid"], entry
    status, answer = await api.get("/examples/none")
    assert status == 404 and "invert" in answer["error"]


async def test_the_page_is_there(api: Api) -> None:
    status, page = await api.get("/")
    assert status == 200 and "<title>comfytrickle</title>" in page
    assert "the page: " + api.pool.url + "/" in api.pool.log.read_text()
