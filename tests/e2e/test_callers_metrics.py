"""What an operator's tools read: metrics over the life of streams, and answers as described."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from comfytrickle import __version__
from control_plane.api.operations import OPERATIONS
from tests.support import callers
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool
from tests.support.prometheus import Scrape

PLAIN = (
    "/streams", "/stream/status", "/health", "/ready", "/version", "/quarantine", "/hardware/info",
    "/hardware/stats", "/examples", "/nodes/failed",
)  # fmt: skip
QUOTED = 'a "b" \\c'  # an id may be so


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


async def scrape(api: Api, before: Scrape | None = None) -> Scrape:
    """Checks that no total is less than ``before``."""
    reply = await callers.send(api.pool, "GET /metrics")
    assert (reply.status, reply.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = Scrape(reply.raw.decode())
    if before is not None:
        now = found.totals()
        assert all(now[key] >= value for key, value in before.totals().items())
    return found


async def test_the_life_of_a_stream_in_metrics(api: Api, live: Live) -> None:
    first = await scrape(api)
    assert first("comfytrickle_slots") == first("comfytrickle_slots_free") == 2
    assert first("comfytrickle_ready") == 1 and first("comfytrickle_draining") == 0
    assert first("comfytrickle_build_info", version=__version__) == 1
    assert first.labelled("comfytrickle_stream_info") == []
    assert first("comfytrickle_device_slots", device="cpu:1") == 1

    async with live.source("in"):
        await api.start(QUOTED, live.url("in"), live.url("out"))
        path = "a%20%22b%22%20%5Cc"
        await api.wait(path, lambda s: (s["frame_count"] or 0) > 20 and s["fps"]["out"])
        one = await scrape(api, first)
        assert one("comfytrickle_starts_accepted_total") == 1
        assert one("comfytrickle_streams", state="streaming") == 1
        assert one("comfytrickle_slots_free") == 1
        frames = one("comfytrickle_stream_frames_out_total", stream=QUOTED)
        assert 20 < frames <= one("comfytrickle_frames_out_total")
        assert one("comfytrickle_received_bytes_total") > 1000
        rate = {"stream": QUOTED, "direction": "out"}
        assert 5 < one("comfytrickle_stream_frames_per_second", **rate) < 60
        total = {"stream": QUOTED, "stage": "total"}
        name = "comfytrickle_stream_latency_seconds"
        quantiles = [one(name, **total, quantile=q) for q in ("0.5", "0.95", "0.99")]
        assert 0 < quantiles[0] <= quantiles[1] <= quantiles[2] < 60
        assert one("comfytrickle_stream_resident_memory_bytes", stream=QUOTED) > 10e6

        status = await api.status(path)
        os.kill(status["pid"], signal.SIGKILL)
        await api.wait(path, lambda s: s["restarts"] == 1 and s["pid"] not in (None, status["pid"]))
        two = await scrape(api, one)
        assert two("comfytrickle_restarts_total") == 1
        assert two("comfytrickle_stream_restarts_total", stream=QUOTED) == 1
        assert two("comfytrickle_worker_ends_total", cause="signalled") == 1
        assert two("comfytrickle_streams_ended_total", cause="signalled") == 0
    await api.wait(path, lambda s: not s["running"])

    described = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    for name in two.types:
        assert f"`{name.removeprefix('comfytrickle_')}`" in described, f"{name} is missing"
    three = await scrape(api, two)
    assert three("comfytrickle_streams_ended_total", cause="source_ended") == 1
    assert three("comfytrickle_worker_ends_total", cause="source_ended") == 1
    assert not [key for key in three.samples if "stream" in dict(key[1])]
    assert three("comfytrickle_frames_out_total") >= (await api.status(path))["frame_count"]
    assert three("comfytrickle_streams", state="streaming") == 0


async def test_refusals_are_counted_by_reason(api: Api, live: Live) -> None:
    before = await scrape(api)
    for name in ("one", "two", "one"):
        await api.start(name, live.url("in"), live.url(name))
    bad = {"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}
    for path, body in (
        ("/stream/start", {"params": {"width": 3}}),
        ("/stream/start", {"params": bad}),
        ("/live-video-to-video", b"{"),
        ("/live-video-to-video", {"stream_id": "three"}),
        ("/stream/start", {"stream_id": "one"}),
    ):
        assert (await api.post(path, body))[0] >= 400
    await api.post("/drain")
    assert (await api.post("/stream/start", {"stream_id": "four"}))[0] == 503
    await api.call("DELETE", "/drain")
    after = await scrape(api, before)

    def more(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert more("comfytrickle_starts_accepted_total") == 2
    assert more("comfytrickle_starts_repeated_total") == 1
    wanted = {"invalid_request": 2, "invalid_workflow": 1, "full": 1, "conflict": 1, "draining": 1}
    for labels in after.labelled("comfytrickle_starts_refused_total"):
        name = "comfytrickle_starts_refused_total"
        assert more(name, **labels) == wanted.get(labels["reason"], 0), labels


async def test_the_control_planes_own_process(api: Api) -> None:
    found = await scrape(api)
    process = psutil.Process(api.pool.process.pid)
    assert found("process_resident_memory_bytes") == pytest.approx(
        process.memory_info().rss, rel=0.2
    )
    assert found("process_start_time_seconds") == pytest.approx(process.create_time(), abs=30)
    times = process.cpu_times()
    assert 0 < found("process_cpu_seconds_total") <= times.user + times.system + 0.1
    assert 5 < found("process_open_fds") < found("process_max_fds")


async def test_answers_are_as_they_are_described(api: Api, live: Live) -> None:
    """Each is read by the schema that /openapi.json shows; nothing missing, nothing besides."""
    read: set[tuple[str, str]] = set()

    async def check(method: str, path: str, body: object = None, **names: str) -> None:
        operation = OPERATIONS[method, path]
        status, _ = reply = await api.call(method, path.format(**names), body)
        assert status == operation.status, reply
        assert operation.answer is not None
        msgspec.convert(reply[1], operation.answer)
        read.add((method, path))

    one = {"request_id": "one"}
    channels = {"subscribe_url": live.url("in"), "publish_url": live.url("out")}
    async with live.source("in"):
        await check("POST", "/stream/start", {**channels, "stream_id": "one"})
        await api.wait("one", lambda s: (s["frame_count"] or 0) > 5)
        for path in PLAIN:
            await check("GET", path)
        await check("GET", "/stream/{request_id}/status", **one)
        await check("POST", "/stream/params", {"width": 64, "height": 64})
        await check("POST", "/stream/{request_id}/params", {"max_framerate": 20}, **one)
        await check("GET", "/stream/{request_id}/params", **one)
        await check("POST", "/workflow/validate", {"prompt": ""})
        await check("POST", "/live-video-to-video", {"stream_id": "two"})
        await check("POST", "/drain")
        await check("DELETE", "/drain")
        await check("POST", "/stream/stop", {"stream_id": "two"})
        await check("POST", "/stream/{request_id}/stop", **one)
        await check("GET", "/stream/{request_id}/status", **one)
    unread = {key for key, operation in OPERATIONS.items() if operation.answer} - read
    assert unread == {("DELETE", "/quarantine/{digest}")}  # needs a workflow that kills
    status, document = await api.get("/api/openapi.json/")
    assert status == 200 and len(document["paths"]) == len({path for _, path in OPERATIONS})
