"""Params of a stream that runs, and the many ways in which callers say the same thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import clips
from tests.support.live import Api, Live, Seen, consecutive
from tests.support.pool import Pool, running_pool

PASS_THROUGH = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
}
INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}
# As it is exported by ComfyUI: sources and previews that a stream does not have.
EXPORTED = {
    "5": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "6": {"class_type": "ImageInvert", "inputs": {"image": ["5", 0]}},
    "7": {"class_type": "PreviewImage", "inputs": {"images": ["6", 0]}},
}


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:3") as pool:
        yield pool


async def more_frames(api: Api, name: str, count: int = 10) -> int:
    """Until ``count`` more have come out."""
    before = (await api.status(name))["frame_count"] or 0
    status = await api.wait(name, lambda s: (s["frame_count"] or 0) >= before + count)
    return int(status["frame_count"])


def runs(values: list[Any]) -> list[Any]:
    """Each value once for as long as it stays the same."""
    return [v for i, v in enumerate(values) if i == 0 or v != values[i - 1]]


async def test_a_workflow_changes_between_two_frames(api: Api, live: Live) -> None:
    async with live.viewer("out") as viewer, live.source("in") as source:
        await api.start("p", live.url("in"), live.url("out"))
        await more_frames(api, "p")
        for revision, workflow in enumerate((INVERT, PASS_THROUGH, EXPORTED), 1):
            status, answer = await api.post("/stream/p/params", {"params": {"prompt": workflow}})
            assert (status, answer["revision"], answer["ignored"]) == (200, revision, [])
            assert (await api.status("p"))["params_revision"] == revision
            await more_frames(api, "p")
        refused: list[dict[str, Any]] = [
            {"prompt": {"1": INVERT["1"]}},
            {"prompt": []},
            {"width": 64},
        ]
        for wrong in refused:
            assert (await api.post("/stream/p/params", wrong))[0] == 400
        await more_frames(api, "p")
        assert (await api.status("p"))["params_revision"] == 3
        last = await source.end()
        await viewer.finished()
    frames: list[Seen] = await asyncio.to_thread(viewer.frames)
    consecutive([frame.counter for frame in frames], last)
    assert runs([frame.inverted for frame in frames]) == [False, True, False, True]


async def test_the_size_changes_while_live(api: Api, live: Live) -> None:
    async with live.viewer("out") as viewer, live.source("in") as source:
        await api.start("p", live.url("in"), live.url("out"))
        await more_frames(api, "p")
        sizes = [(clips.WIDTH, clips.HEIGHT), (256, 192), (128, 96)]
        for revision, (width, height) in enumerate(sizes[1:], 1):
            body = {"width": width, "height": str(height)}
            status, answer = await api.post("/stream/p/params", body)
            assert (status, answer["revision"]) == (200, revision)
            await api.wait("p", lambda s, w=width, h=height: (s["width"], s["height"]) == (w, h))
            await more_frames(api, "p")
        last = await source.end()
        await viewer.finished()
    frames = await asyncio.to_thread(viewer.frames)
    consecutive([frame.counter for frame in frames], last)
    assert runs([frame.size for frame in frames]) == sizes


async def test_a_frame_rate_is_capped_and_let_go(api: Api, live: Live) -> None:
    async with live.viewer("out") as viewer, live.source("in") as source:
        await api.start("p", live.url("in"), live.url("out"), max_framerate="10")
        capped = await api.wait("p", lambda s: (s["frame_count"] or 0) >= 15)
        assert set(capped["frames"]["dropped"]) == {"framerate"}
        assert (await api.post("/stream/p/params", {"max_framerate": 240}))[1]["revision"] == 1
        at = (await api.status("p"))["frames"]
        whole = await api.wait("p", lambda s: s["frames"]["out"] >= at["out"] + 30)
        last = await source.end()
        await viewer.finished()
    counters = await asyncio.to_thread(viewer.counters)
    steps = [b - a for a, b in pairwise(counters) if a and b]
    assert steps[:10] == [3] * 10  # every third of 30 a second
    assert steps[-20:] == [1] * 20 and counters[-1] == last
    assert set(steps) <= {1, 2, 3}
    assert whole["frames"]["dropped"]["framerate"] < whole["frames"]["in"]


# --- the same thing in other words ------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"gateway_request_id": "x"}, {}),
        ({"stream_id": "x", "gateway_request_id": "y", "request_id": "z"}, {}),
        ({"request_id": "x", "manifest_id": "y"}, {}),
        ({"manifest_id": "x"}, {}),
        ({"gateway_request_id": "", "manifest_id": "x"}, {}),
        ({"gateway_request_id": "y"}, {"X-Stream-Id": "x"}),
    ],
)
async def test_where_the_id_may_stand(
    api: Api, live: Live, fields: dict[str, str], headers: dict[str, str]
) -> None:
    body = {"subscribe_url": live.url("in"), "publish_url": live.url("out"), **fields}
    status, answer = await api.call("POST", "/stream/start", body, headers)
    assert (status, answer["request_id"]) == (200, "x"), answer
    status, answer = await api.call("POST", "/stream/stop", fields, headers)
    assert (status, answer["request_id"]) == (200, "x"), answer


async def test_an_id_is_made_up_when_there_is_none(api: Api, live: Live) -> None:
    made = []
    for sink in ("one", "two"):
        body = {"subscribe_url": live.url("in"), "publish_url": live.url(sink)}
        made.append((await api.post("/stream/start", body))[1]["request_id"])
    assert made[0] != made[1]
    status, answer = await api.post("/stream/start", body)  # another stream into the same sink
    assert status == 409 and f"'{made[1]}' publishes to" in answer["error"]
    assert set((await api.get("/streams"))[1]["streams"]) == set(made)


@pytest.mark.parametrize("key", ["prompt", "prompts"])
@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param(INVERT, id="object"),
        pytest.param(json.dumps(INVERT), id="string"),
        pytest.param([INVERT], id="list"),
        pytest.param([json.dumps(INVERT)], id="list-of-string"),
        pytest.param(json.dumps([INVERT]), id="string-of-list"),
        pytest.param({"prompt": INVERT, "client_id": "me"}, id="request-body"),
    ],
)
async def test_a_prompt_in_any_wrapping(api: Api, live: Live, key: str, prompt: Any) -> None:
    """All mean one workflow: so each start is an identical repeat of the plain one."""
    first = await api.start("same", live.url("in"), live.url("out"), prompt=INVERT)
    again = await api.start("same", live.url("in"), live.url("out"), **{key: prompt})
    assert (again["pid"], again["message"]) == (first["pid"], "stream runs already")


async def test_numbers_and_params_as_text(api: Api, live: Live) -> None:
    body = {
        "subscribe_url": live.url("in"),
        "publish_url": live.url("out"),
        "control_url": "",
        "events_url": None,
        "gateway_request_id": 4711,
        "model_id": "comfy",
        "params": json.dumps(
            {"width": " 128 ", "height": "96", "max_framerate": "29.97", "fps": 1}
        ),
    }
    status, answer = await api.post("/stream/start", body)
    assert status == 200, answer
    assert answer["request_id"] == "4711"
    assert (answer["config"]["width"], answer["config"]["height"]) == (128, 96)
    assert sorted(answer["ignored"]) == ["model_id", "params.fps"]
    assert answer["config"]["control_url"] is None and answer["config"]["events_url"] is None
    status, answer = await api.post("/stream/params", {"params": {"seed": 3}, "x": 1})
    assert (status, answer["revision"], sorted(answer["ignored"])) == (200, 0, ["params.seed", "x"])


async def test_paths_with_slashes_prefixes_and_odd_ids(api: Api, live: Live) -> None:
    odd = "job/7 ü?#%"
    body = {
        "subscribe_url": live.url("in"),
        "publish_url": live.url("out"),
        "gateway_request_id": odd,
    }
    path = "/api/stream/" + quote(odd, safe="")
    assert (await api.post("/api/stream/start/", body))[1]["request_id"] == odd
    for ending in ("", "/"):
        assert (await api.get(path + "/status" + ending))[1]["request_id"] == odd
        assert (await api.get("/stream/status" + ending))[1]["request_id"] == odd
        assert list((await api.get("/api/streams" + ending))[1]["streams"]) == [odd]
    for sent, kind in ((b"<stop/>", "text/xml"), (b"\xff{", "application/json"), (None, "")):
        status, answer = await api.call("POST", path + "/stop/", sent, {"Content-Type": kind})
        assert (status, answer["request_id"]) == (200, odd)


async def test_without_an_id_the_only_one_is_meant_and_never_all(api: Api, live: Live) -> None:
    assert (await api.get("/stream/status"))[0] == 404
    assert (await api.post("/stream/stop"))[0] == 404
    for name in "ab":
        await api.start(name, live.url("in"), live.url(name))
    for method, path in (("GET", "status"), ("POST", "stop"), ("POST", "params")):
        status, answer = await api.call(method, f"/stream/{path}", {} if method == "POST" else None)
        assert status == 409 and "a, b" in answer["error"]
    assert (await api.call("POST", "/stream/stop?wait=30", None, {"X-Stream-Id": "a"}))[0] == 200
    assert (await api.post("/stream/stop?wait=30"))[1]["request_id"] == "b"
    assert (await api.get("/streams"))[1]["count"] == 0
