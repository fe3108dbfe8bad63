"""The calls beside the streams: validation, nodes, logs, health; and a pool that is full."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from comfytrickle import __version__
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool

EXPORTED = {
    "5": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "6": {"class_type": "ImageInvert", "inputs": {"image": ["5", 0]}},
    "7": {"class_type": "PreviewImage", "inputs": {"images": ["6", 0]}},
}
LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO|WARNING|ERROR) \[talk\] pid=(\d+) \S+: .+"
)


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    flags = ("--devices", "cpu:4", "--max-streams", "2")
    with running_pool(tmp_path_factory.mktemp("pool"), *flags) as pool:
        yield pool


async def test_health_ready_version(api: Api, live: Live) -> None:
    assert (await api.get("/ready")) == (200, {"ready": True})
    assert (await api.get("/version")) == (
        200,
        {"pipeline": "live-video-to-video", "model_id": "comfyui", "version": __version__},
    )
    health = (await api.get("/health"))[1]
    assert (health["status"], health["reason"], health["draining"]) == ("IDLE", None, False)
    assert health["version"] == __version__ and health["uptime_s"] > 0
    assert health["slots"] == {"total": 2, "free": 2} and health["streams"] == {}
    assert [d["id"] for d in health["devices"]] == [f"cpu:{n}" for n in range(4)]
    assert health["inspector"]["ready"] and health["inspector"]["restarts"] == 0
    await api.start("one", live.url("in"), live.url("out"))
    await api.wait("one", lambda s: s["health"] == "waiting")
    health = (await api.get("/health"))[1]
    assert (health["status"], health["streams"]) == ("OK", {"waiting": 1})
    assert health["slots"]["free"] == 1 and sum(d["used"] for d in health["devices"]) == 1


async def test_validation_converts_and_starts_nothing(api: Api) -> None:
    before = {child.pid for child in api.pool.children()}
    for body in (EXPORTED, {"prompt": EXPORTED}, {"params": {"prompts": [EXPORTED]}}):
        status, answer = await api.post("/workflow/validate", body)
        assert (status, answer["valid"], answer["node_errors"]) == (200, True, {})
        assert [n["class_type"] for n in answer["workflow"].values()] == [
            "LoadTensor",
            "ImageInvert",
            "SaveTensor",
        ]
        assert any("5: LoadImage -> LoadTensor" in done for done in answer["converted"])
        assert any("7: PreviewImage -> SaveTensor" in done for done in answer["converted"])
        assert answer["detail"] == {
            "engine": "embedded",
            "graph": "resident",
            "live_nodes": 3,
            "constant_nodes": 0,
        }
    wrong: dict[str, Any] = {**EXPORTED, "6": {"class_type": "ImageInvert", "inputs": {}}}
    status, answer = await api.post("/workflow/validate", wrong)
    assert (status, answer["valid"], answer["workflow"]) == (200, False, None)
    [error] = answer["node_errors"]["6"]["errors"]
    assert (error["type"], error["input_name"]) == ("required_input_missing", "image")
    assert {child.pid for child in api.pool.children()} == before
    assert (await api.get("/streams"))[1]["count"] == 0


async def test_nodes_have_the_shape_of_object_info(api: Api) -> None:
    nodes = (await api.get("/nodes"))[1]
    for name, node in nodes.items():
        assert node["name"] == name and isinstance(node["display_name"], str)
        assert isinstance(node["category"], str) and isinstance(node["description"], str)
        assert node["input"].keys() <= {"required", "optional", "hidden"}
        assert set(node["input_order"]) == set(node["input"])
        assert len(node["output"]) == len(node["output_name"]) == len(node["output_is_list"])
        for group in ("required", "optional"):
            declared = node["input"].get(group, {})
            assert list(declared) == node["input_order"].get(group, [])
            assert all(isinstance(given, list) and given for given in declared.values())
    assert nodes["ImageBlur"]["input"]["required"]["blur_radius"][0] == "INT"
    assert nodes["ImageBlur"]["input"]["required"]["blur_radius"][1]["min"] == 1
    assert (await api.get("/nodes/failed"))[1] == {"failed": {}, "count": 0}


async def test_logs_tail_and_follow(api: Api, live: Live) -> None:
    pid = (await api.start("talk", live.url("in"), live.url("out")))["pid"]
    await api.wait("talk", lambda s: s["pipeline_ready"])
    following = asyncio.create_task(api.get("/stream/talk/logs?follow=1&tail=1000"))
    status, text = await api.get("/stream/talk/logs")
    assert status == 200
    found = [LOG_LINE.fullmatch(line) for line in text.splitlines()]
    assert found and all(found), text
    assert {line[2] for line in found if line} == {str(pid)}
    assert (await api.get("/stream/talk/logs?tail=2"))[1] == "".join(
        line + "\n" for line in text.splitlines()[-2:]
    )
    assert (await api.get("/stream/talk/logs?tail=0"))[1] == ""
    for wrong in ("tail=-1", "tail=many", "tail=10001", "follow=yes"):
        status, answer = await api.get("/stream/talk/logs?" + wrong)
        assert status == 400 and answer["field"] == wrong.partition("=")[0]
    assert not following.done()
    await api.post("/stream/talk/stop?wait=30")
    followed = (await asyncio.wait_for(following, 15))[1]
    assert followed.startswith(text) and "draining: requested" in followed
    assert (await api.get("/stream/talk/logs"))[1] == followed


def refused(pool: Pool, request: urllib.request.Request) -> tuple[int, float, str | None, str]:
    """Status, seconds, Retry-After and body of an answer that is an error."""
    begun = time.monotonic()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as error:
        text = error.read().decode()
        return error.code, time.monotonic() - begun, error.headers["Retry-After"], text


async def test_a_full_pool_says_so_at_once(api: Api, live: Live) -> None:
    for name in ("one", "two"):
        await api.start(name, live.url("in"), live.url(name))
    request = urllib.request.Request(
        api.pool.url + "/stream/start",
        data=b'{"gateway_request_id": "three", "subscribe_url": "%s", "publish_url": "%s"}'
        % (live.url("in").encode(), live.url("three").encode()),
        headers={"Content-Type": "application/json"},
    )
    workers = {child.pid for child in api.pool.children()}
    status, seconds, retry_after, text = await asyncio.to_thread(refused, api.pool, request)
    assert (status, seconds < 2) == (503, True)
    assert int(retry_after or 0) >= 1 and "full" in text and "2" in text
    assert {child.pid for child in api.pool.children()} == workers
    assert (await api.get("/stream/three/status"))[0] == 404
    health = (await api.get("/health"))[1]
    assert (health["status"], health["slots"]) == ("OK", {"total": 2, "free": 0})
    assert (await api.post("/stream/one/stop?wait=30"))[0] == 200
    assert (await api.start("three", live.url("in"), live.url("three")))["pid"]
