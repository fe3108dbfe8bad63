"""The Python client against a real pool: every call, and everything that can go wrong.

That nothing is left open is checked after each test (tests/conftest.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from comfytrickle.client import AsyncClient, AsyncStream, Ended, Refused, Unreachable
from comfytrickle.testsrc import counter
from tests.support.live import Live
from tests.support.negatives import INVERT
from tests.support.pool import Pool, free_port, running_pool

BROKEN = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:3") as pool:
        yield pool


async def test_a_stream_from_channel_to_channel(client: AsyncClient, live: Live) -> None:
    async with live.source("in"), live.viewer("out") as viewer:
        stream = await client.start(
            stream_id="talk", subscribe_url=live.url("in"), publish_url=live.url("out"),
            max_framerate="30", encode={"crf": 30},
        )  # fmt: skip
        assert (stream.id, stream.answer["message"]) == ("talk", "stream started")
        status = await stream.wait_ready()
        assert status["pipeline_ready"] and status["publish_url"] == live.url("out")
        assert set(await client.list()) == {"talk"}
        assert (await stream.params(json.loads(INVERT.read_text())))["revision"] == 1
        assert (await stream.params(width=96, height=64))["revision"] == 2
        running = await stream.running_params()
        assert (running["revision"], running["params"]["width"]) == (2, 96)
        assert running["params"]["encode"]["crf"] == 30
        async for picture in stream.frames(side="out", fps=30):
            if (picture.width, picture.height) == (96, 64):
                break
        assert picture.time is None and picture.pts is not None
        assert counter.is_inverted(picture.rgb())
        with pytest.raises(Refused, match="source channel") as refused:
            async with stream.camera():
                pass
        assert refused.value.status == 409
        assert "ready after" in await stream.logs()
        assert len((await stream.logs(tail=1)).splitlines()) == 1
        following = stream.follow_logs(tail=100)
        first = await anext(following)
        assert "[talk]" in first and not first.endswith("\n")
        assert (await stream.stop())["message"] == "stream stopped"
        rest = [line async for line in following]
        assert rest and rest == (await stream.logs()).splitlines()[-len(rest) :]
        assert (await client.stream("talk").stop())["message"] == "stream had ended already"
        assert await client.list() == {} and "talk" in await client.list(ended=True)
        assert (await stream.wait_ended())["exit_cause"] == "requested"
        with pytest.raises(Ended, match="requested") as ended:
            await stream.wait_ready()
        assert ended.value.status["request_id"] == "talk"
        with pytest.raises(Refused, match="has ended"):
            async for _ in stream.frames():
                pass
        await viewer.finished()
    assert viewer.frames()


async def test_events_tell_of_streams(client: AsyncClient) -> None:
    told: list[tuple[str, Any]] = []
    stream: AsyncStream | None = None
    async for event in client.events():
        told.append((event.name, event.data))
        if event.name == "health" and stream is None:
            stream = await client.start(stream_id="told")
        if event.name == "state" and event.data["request_id"] == "told":
            if event.data["state"] == "exited":
                break
            assert stream is not None
            await stream.stop()
    first = dict(told[:2])
    assert set(first) == {"streams", "health"} and "told" not in first["streams"]["streams"]


async def test_the_calls_beside_the_streams(client: AsyncClient) -> None:
    health = await client.health()
    assert health["status"] == "IDLE" and health["slots"] == {"total": 3, "free": 3}
    nodes = await client.nodes()
    assert nodes["ImageInvert"]["python_module"] == "embedded"
    assert await client.nodes("embedded") == nodes
    assert (await client.validate(INVERT))["valid"] is True
    wrong = await client.validate(BROKEN, engine="embedded")
    assert (wrong["valid"], list(wrong["node_errors"])) == (False, ["2"])
    assert await client.request("GET", "/quarantine") == {"workflows": [], "count": 0}
    assert (await client.request("POST", "/workflow/validate", BROKEN))["valid"] is False


async def test_refusals_say_why(client: AsyncClient) -> None:
    with pytest.raises(Refused, match=r"params\.width") as refused:
        await client.start(width=15, height=16)
    assert (refused.value.status, refused.value.field) == (400, "params.width")
    with pytest.raises(Refused) as refused:
        await client.start(BROKEN)
    [error] = refused.value.node_errors["2"]["errors"]
    assert (error["type"], error["input_name"]) == ("required_input_missing", "image")
    unknown = client.stream("none/such")
    calls = (unknown.status, unknown.stop, unknown.logs, unknown.params, unknown.running_params)
    for call in (*calls, unknown.wait_ready, unknown.snapshot, unknown.camera().__aenter__,
                 aiter(unknown.frames()).__anext__, unknown.follow_logs().__anext__):  # fmt: skip
        with pytest.raises(Refused, match="no stream 'none/such'") as refused:
            await call()
        assert (refused.value.status, refused.value.field) == (404, None)
    async with await client.start(stream_id="one") as stream:
        await client.start(stream_id="one")  # the same again is no error
        with pytest.raises(Refused) as refused:
            await client.start(stream_id="one", width=64, height=64)
        assert refused.value.status == 409
        await stream.wait_ready()
        with pytest.raises(Refused) as refused:
            await stream.params(BROKEN)
        assert (refused.value.status, list(refused.value.node_errors)) == (400, ["2"])
        with pytest.raises(Refused) as refused:
            async for _ in stream.frames(fps=1000):
                pass
        assert (refused.value.status, refused.value.field) == (400, "fps")
        async with contextlib.AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(await client.start())
            with pytest.raises(Refused, match="full") as refused:
                await client.start()
        assert refused.value.status == 503 and refused.value.retry_after is not None


async def test_a_word_that_is_not_known_is_a_warning(client: AsyncClient) -> None:
    with pytest.warns(UserWarning, match="ignored by the server: .*widht"):
        stream = await client.start(widht=64)
    await stream.wait_ready()
    with pytest.warns(UserWarning, match="hieght"):
        await stream.params(hieght=64, max_framerate=20)
    await stream.stop()


async def test_waiting_has_an_end(client: AsyncClient) -> None:
    async with await client.start() as stream:
        with pytest.raises(TimeoutError, match="after 0 s"):
            await stream.wait_ended(0)


async def test_a_server_that_is_not_there() -> None:
    async with AsyncClient(f"http://127.0.0.1:{free_port()}") as client:
        stream = client.stream("a")
        for call in (client.list, stream.camera().__aenter__, aiter(stream.frames()).__anext__,
                     client.events().__anext__):  # fmt: skip
            with pytest.raises(Unreachable, match="Connection refused"):
                await call()
    with pytest.raises(RuntimeError, match="closed"):
        await client.list()
    async with AsyncClient("http://does.not.exist.invalid") as client:
        with pytest.raises(Unreachable, match=r"does\.not\.exist\.invalid"):
            await client.list()


async def test_a_server_that_says_nothing_or_something_else(live: Live) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with (
        server,
        AsyncClient(
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.3
        ) as client,
    ):
        for call in (client.health, client.events().__anext__,
                     aiter(client.stream("a").frames()).__anext__):  # fmt: skip
            with pytest.raises(Unreachable, match="in time"):
                await call()
    async with AsyncClient(live.server.url) as client:  # HTTP, but a trickle server's
        with pytest.raises((Refused, Unreachable)):
            await client.list()
