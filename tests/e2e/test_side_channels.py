"""The channels beside the video: control takes effect, and what happens is told on events."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.subscriber import Subscriber
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool

INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "9": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}
TYPES = {"status", "error", "restart", "params_update", "params_coalesced"}
TRACES = {
    "stream_started",
    "runner_receive_first_ingest_segment",
    "runner_send_first_processed_segment",
    "stream_stopped",
}
STATES = {"LOADING", "OFFLINE", "ONLINE", "DEGRADED_INPUT", "DEGRADED_INFERENCE", "ERROR"}


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


class Heard:
    """All that was said on an events channel, with the time at which it came."""

    def __init__(self) -> None:
        self.all: list[tuple[float, dict[str, Any]]] = []
        self.over = asyncio.Event()

    def of(self, type_: str) -> list[dict[str, Any]]:
        return [said["event"] for _, said in self.all if said["event"]["type"] == type_]

    async def until(self, type_: str, count: int = 1) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while len(self.of(type_)) < count:
            assert time.monotonic() < deadline, (
                f"no {type_}: {[t['event']['type'] for _, t in self.all]}"
            )
            await asyncio.sleep(0.02)
        return self.of(type_)[count - 1]

    def check_shapes(self, stream_id: str) -> None:
        for _, said in self.all:
            event = said["event"]
            assert said.keys() == {"event", "queue_event_type"}
            assert (
                event["stream_id"] == stream_id
                and abs(event["timestamp"] / 1e3 - time.time()) < 120
            )
            if said["queue_event_type"] == "stream_trace":
                assert event["type"] in TRACES
            else:
                assert said["queue_event_type"] == "ai_stream_events" and event["type"] in TYPES
            if event["type"] == "status":
                assert event["state"] in STATES and event["pipeline"] == "comfyui"
                assert event["input_status"].keys() == {"last_input_time", "fps"}
                assert len(event["inference_status"]) == 10

    def longest_gap(self) -> float:
        times = [at for at, _ in self.all]
        return max(later - sooner for sooner, later in itertools.pairwise(times))


@asynccontextmanager
async def listening(live: Live, name: str) -> AsyncIterator[Heard]:
    heard = Heard()

    async def listen() -> None:
        async with Subscriber(live.session, live.url(name), start=0, live=False) as subscriber:
            async for segment in subscriber:
                body = b"".join([piece async for piece in segment])
                heard.all.append((time.monotonic(), json.loads(body)))
        heard.over.set()

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.wait({task})


def urls(live: Live, name: str) -> dict[str, Any]:
    return {
        "subscribe_url": live.url("in"),
        "publish_url": live.url(name),
        "control_url": live.url(f"{name}-control"),
        "events_url": live.url(f"{name}-events"),
        "gateway_request_id": name,
    }


async def start(api: Api, live: Live, name: str, **params: Any) -> dict[str, Any]:
    status, answer = await api.post("/stream/start", {**urls(live, name), "params": params})
    assert status == 200, answer
    return dict(answer)


class Control:
    """A gateway's end of a control channel."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher

    async def say(self, *pieces: bytes) -> None:
        """One segment, written in these pieces."""
        await self.publisher.begin()
        for piece in pieces:
            await self.publisher.write(piece)
        await self.publisher.end()

    async def json(self, value: Any) -> None:
        await self.say(json.dumps(value).encode())


@asynccontextmanager
async def controlling(live: Live, name: str) -> AsyncIterator[Control]:
    url = live.url(f"{name}-control")
    async with Publisher(live.session, url, mime="application/json") as publisher:
        yield Control(publisher)


async def test_events_go_on_over_load_crash_and_restart(api: Api, live: Live) -> None:
    async with listening(live, "e-events") as heard, live.source("in"):
        pid = (await start(api, live, "e"))["pid"]
        await heard.until("runner_send_first_processed_segment")
        os.kill(pid, signal.SIGKILL)
        restart = await heard.until("restart")
        assert restart["restart_count"] == 1 and restart["exit_cause"] == "signalled"
        told = len(heard.of("status"))
        status = await heard.until("status", told + 3)  # they go on by themselves
        assert status["inference_status"]["restart_count"] == 1
        assert status["inference_status"]["last_restart_time"] is not None
        assert (await api.post("/stream/e/stop?wait=30"))[0] == 200
        await asyncio.wait_for(heard.over.wait(), 20)  # the channel was its own, and is ended
    heard.check_shapes("e")
    order = [said["event"]["type"] for _, said in heard.all]
    assert (order[0], order[-1]) == ("stream_started", "stream_stopped")
    assert heard.of("status")[-1]["state"] == "OFFLINE" and "ONLINE" in {
        event["state"] for event in heard.of("status")
    }
    assert len(heard.of("runner_receive_first_ingest_segment")) == 1
    assert heard.longest_gap() < 10.0


async def test_control_messages_in_every_form(api: Api, live: Live) -> None:
    async with (
        listening(live, "c-events") as heard,
        live.source("in"),
        controlling(live, "c") as control,
    ):
        await start(api, live, "c", width=160, height=96)
        await heard.until("runner_send_first_processed_segment")
        await control.json({"keep": "alive"})
        await control.json({"prompts": INVERT})
        update = await heard.until("params_update")
        assert (update["revision"], update["params"]["prompt"]["2"]) == (1, INVERT["2"])
        message = json.dumps({"params": {"width": 128, "height": 64}}).encode()
        await control.say(*(message[n : n + 7] for n in range(0, len(message), 7)))
        update = await heard.until("params_update", 2)
        assert (update["params"]["width"], update["params"]["height"]) == (128, 64)

        await control.say(b'{"max_framerate": 20}\n{"nonsense": 1}\n{"max_framerate": 15}')
        await api.wait("c", lambda s: s["params_revision"] >= 3)

        big = {"prompt": {**INVERT, "2": {**INVERT["2"], "_meta": {"title": "x" * 100_000}}}}
        await control.json(big)
        before = (await api.status("c"))["params_revision"]
        await api.wait("c", lambda s: s["params_revision"] > before or s["params_revision"] >= 5)

        for bad, says in (
            (b'{"width": 13}', "width: must be from 16"),
            (b"not json }", "a JSON object is expected"),
            (json.dumps({"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}).encode(), ""),
        ):
            count = len(heard.of("error"))
            await control.say(bad)
            error = await heard.until("error", count + 1)
            assert error["kind"] == "params" and says in error["message"]
        status = await api.status("c")
        assert status["running"] and status["state"] == "streaming"  # nothing was disturbed
        assert await api.post("/stream/c/stop?wait=30")
    heard.check_shapes("c")


async def test_a_burst_is_applied_or_visibly_coalesced(api: Api, live: Live) -> None:
    async with (
        listening(live, "b-events") as heard,
        live.source("in"),
        controlling(live, "b") as control,
    ):
        await start(api, live, "b")
        await heard.until("runner_send_first_processed_segment")
        rates = [20 + n for n in range(20)]
        for rate in rates:
            await control.json({"max_framerate": rate})

        async def accounted() -> int:
            """Applied by themselves, with others, or said to be lost (the server keeps five)."""
            together = sum(event["messages"] - 1 for event in heard.of("params_coalesced"))
            lost = sum(event.get("lost", 0) for event in heard.of("error"))
            return int((await api.status("b"))["params_revision"]) + together + lost

        deadline = time.monotonic() + 30
        while await accounted() < len(rates):
            assert time.monotonic() < deadline, await accounted()
            await asyncio.sleep(0.05)
        assert await accounted() == len(rates)
        while not any(
            update["params"].get("max_framerate") == rates[-1]
            for update in heard.of("params_update")
        ):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        await api.post("/stream/b/stop?wait=30")


async def test_a_gateways_own_channels_are_left_to_it(api: Api, live: Live) -> None:
    """And a channel whose server refuses harms nothing."""
    async with live.session.post(live.url("g-events")) as reply:
        assert reply.status == 200
    async with live.source("in"):
        await start(api, live, "g")
        await api.wait("g", lambda s: s["frame_count"])
        await api.post("/stream/g/stop?wait=30")
    assert await live.has_channel("g-events")
