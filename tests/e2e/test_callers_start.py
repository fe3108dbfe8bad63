"""Every field of a start, as every family of callers sends it. The requests of the mission stand in
test_api_mission.py."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.support import callers
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool

SERVER = "http://trickle.server/"  # in the rows; a test has one of its own
IN, OUT = SERVER + "in", SERVER + "out"
CONTROL, EVENTS, DATA = (SERVER + name for name in ("control", "events", "data"))
INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}
PASS_THROUGH = ["LoadTensor", "SaveTensor"]
INVERTED = ["LoadTensor", "ImageInvert", "SaveTensor"]
PAIR = {"subscribe_url": IN, "publish_url": OUT}


class Caller(NamedTuple):
    name: str
    line: str
    headers: tuple[str, ...]


COMFYSTREAM = Caller("comfystream", "POST /api/stream/start", callers.AIOHTTP)
PYTRICKLE = Caller("pytrickle", "POST /stream/start", callers.AIOHTTP)
BYOC = Caller("byoc", "POST /stream/start", (*callers.GO_JSON, "X-Stream-Id: job-1"))
RUNNER = Caller("ai-runner", "POST /api/live-video-to-video", callers.HTTP_CLIENT)
GO_LIVEPEER = Caller("go-livepeer", "POST /live-video-to-video", callers.GO_JSON)


class Row(NamedTuple):
    """``said``: of the answer. ``runs``: node types. ``refused``: part of the error."""

    caller: Caller
    row: str
    body: dict[str, Any]
    said: Mapping[str, Any] = MappingProxyType({})
    runs: list[str] = PASS_THROUGH
    refused: str | None = None


def comfystream(row: str, *, params: Any = None, **more: Any) -> Row:
    kept = {key: more.pop(key) for key in ("said", "runs", "refused") if key in more}
    body = {**PAIR, "gateway_request_id": "c", "params": params or {}, **more}
    return Row(COMFYSTREAM, row, body, **kept)


def pytrickle(row: str, body: dict[str, Any], **more: Any) -> Row:
    return Row(PYTRICKLE, row, {"gateway_request_id": "p", **body}, **more)


def byoc(row: str, body: dict[str, Any], **more: Any) -> Row:
    always = {"gateway_request_id": "job-1", "control_url": CONTROL, "events_url": EVENTS}
    return Row(BYOC, row, always | body, **more)


def runner(row: str, body: dict[str, Any], **more: Any) -> Row:
    always = {**PAIR, "control_url": "", "events_url": "", "params": {}}
    ids = {"request_id": "", "manifest_id": "", "stream_id": ""}
    return Row(RUNNER, row, always | ids | body, **more)


def go_livepeer(row: str, body: dict[str, Any], **more: Any) -> Row:
    always = {
        **PAIR, "control_url": CONTROL, "events_url": EVENTS, "model_id": "comfyui", "params": {},
        "gateway_request_id": "g", "manifest_id": "m", "stream_id": "s",
    }  # fmt: skip
    return Row(GO_LIVEPEER, row, always | body, **more)


def config(**fields: Any) -> dict[str, Any]:
    """Of the answer, with nothing but the pair of channels unless told."""
    nothing = dict.fromkeys(("control_url", "events_url", "data_url", "width", "height"))
    return {"config": {**PAIR, **nothing, **fields}}


BOTH = {"control_url": CONTROL, "events_url": EVENTS}
ROWS = [
    comfystream("urls", said=config() | {"request_id": "c"}),
    comfystream("control-events-null", control_url=None, events_url=None, said=config()),
    comfystream("data_url", data_url=DATA, said=config(data_url=DATA)),
    comfystream("ids", manifest_id="m", stream_id="s", said={"request_id": "s"}),
    comfystream("manifest-is-the-last-id", manifest_id="m", said={"request_id": "c"}),
    comfystream("model_id", model_id="comfystream", said={"ignored": ["model_id"]}),
    comfystream("prompts", params={"prompts": INVERT}, runs=INVERTED),
    comfystream("prompt-a-string", params={"prompt": json.dumps(INVERT)}, runs=INVERTED),
    comfystream("prompts-empty", params={"width": 1280, "height": 720, "prompts": ""},
                said=config(width=1280, height=720)),
    comfystream("size-strings", params={"width": "1920", "height": "1080", "prompts": ""},
                said=config(width=1920, height=1080)),
    comfystream("width-alone", params={"width": 1280}, refused="params.height"),
    comfystream("width-no-number", params={"width": "invalid", "height": "720"},
                refused="params.width"),
    comfystream("width-negative", params={"width": -1280, "height": 720}, refused="params.width"),
    pytrickle("no-urls", {}, said=config(subscribe_url=None, publish_url=None)),
    pytrickle("urls-null", dict.fromkeys(("subscribe_url", "publish_url")),
              said=config(subscribe_url=None, publish_url=None)),
    pytrickle("channels-null", {**PAIR, "control_url": None, "events_url": None, "data_url": None},
              said=config()),
    pytrickle("id", PAIR, said={"request_id": "p", "status": "success"}),
    pytrickle("params-null", {**PAIR, "params": None}, said=config()),
    pytrickle("params-any", {**PAIR, "params": {"strength": 0.5, "detect_out_resolution": True}},
              said={"ignored": ["params.strength", "params.detect_out_resolution"]}),
    pytrickle("prompts-a-list", {**PAIR, "params": {"prompts": [INVERT]}}, runs=INVERTED),
    pytrickle("prompts-a-list-of-a-string", {**PAIR, "params": {"prompts": [json.dumps(INVERT)]}},
              runs=INVERTED),
    pytrickle("prompts-an-empty-list", {**PAIR, "params": {"prompts": []}},
              refused="params.prompts"),
    pytrickle("size", {**PAIR, "params": {"width": 512, "height": 512}},
              said=config(width=512, height=512)),
    pytrickle("size-of-the-source", {**PAIR, "params": {}}, said=config()),
    pytrickle("max_framerate", {**PAIR, "params": {"max_framerate": 24}}, said={"ignored": []}),
    byoc("no-video", {}, said=config(subscribe_url=None, publish_url=None, **BOTH)),
    byoc("video-and-data", {**PAIR, "data_url": DATA}, said=config(data_url=DATA, **BOTH)),
    byoc("id", {**PAIR, "stream_id": "another"}, said={"request_id": "job-1"}),
    byoc("params-a-string", {**PAIR, "params": json.dumps({"prompts": INVERT})}, runs=INVERTED),
    byoc("params-empty-string", {**PAIR, "params": ""}, said=config(**BOTH)),
    byoc("params-null", {**PAIR, "params": None}, said=config(**BOTH)),
    byoc("gateway-keys", {**PAIR, "stream_name": "n", "rtmp_output": ""},
         said={"ignored": ["stream_name", "rtmp_output"]}),
    runner("channels-empty", {"stream_id": "r"}, said=config() | {"request_id": "r"}),
    runner("ids-empty", {}, said=config()),
    runner("prompt", {"params": {"prompt": INVERT}}, runs=INVERTED),
    runner("size", {"params": {"width": 448, "height": 704}},
           said=config(width=448, height=704)),
    runner("unknown-params", {"params": {"strength": 1}}, said={"ignored": ["params.strength"]}),
    go_livepeer("urls", {}, said=config(**BOTH) | PAIR | BOTH),
    go_livepeer("ids", {}, said={"request_id": "s"}),
    go_livepeer("ids-empty", {"stream_id": "", "gateway_request_id": ""},
                said={"request_id": "m"}),
    go_livepeer("model_id", {}, said={"ignored": ["model_id"]}),
    go_livepeer("prompt", {"params": {"prompt": INVERT}}, runs=INVERTED),
    go_livepeer("params-left-out", {"params": None}, said=config(**BOTH)),
    go_livepeer("no-video", {"subscribe_url": "", "publish_url": ""},
                said={"subscribe_url": "", "publish_url": "", **BOTH}),
    go_livepeer("events-left-out", {"control_url": None, "events_url": None},
                said={"control_url": "", "events_url": ""}),
    go_livepeer("bad-size", {"params": {"width": 5000, "height": 64}}, refused="params.width"),
    go_livepeer("bad-params", {"params": [1]}, refused="params"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


def at_server(row: Row, live: Live) -> Row:
    def moved(value: Any) -> Any:
        return json.loads(json.dumps(value).replace(SERVER, live.server.url))

    return row._replace(body=moved(row.body), said=moved(dict(row.said)))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.caller.name}-{row.row}")
async def test_a_start_of(row: Row, api: Api, live: Live) -> None:
    row = at_server(row, live)
    reply = await callers.send(api.pool, row.caller.line, row.caller.headers, row.body)
    if row.refused is not None:
        assert reply.status == 400, reply
        if row.caller in (RUNNER, GO_LIVEPEER):
            with pytest.raises(callers.RunnerError, match=f"returned 400: {row.refused}"):
                callers.go_live_video_to_video(reply)
        else:
            assert reply.json()["error"].startswith(row.refused)
        assert (await api.get("/streams"))[1]["count"] == 0
        return
    assert reply.status == 200, reply
    answer = callers.stream_response(reply)
    assert (answer["status"], answer["message"]) == ("success", "stream started")
    assert {key: answer[key] for key in row.said} == row.said
    if row.caller in (RUNNER, GO_LIVEPEER):
        read = callers.go_live_video_to_video(reply)
        assert read["publish_url"] == (row.body["publish_url"] or "")
        assert read["subscribe_url"] == (row.body["subscribe_url"] or "")
        assert read["request_id"] == answer["request_id"]
    running = (await api.get(f"/stream/{answer['request_id']}/params"))[1]["params"]
    kinds = [node["class_type"] for node in running["prompt"].values()]
    assert sorted(kinds) == sorted(row.runs)
    wanted = row.body.get("params")
    if isinstance(wanted, dict) and "max_framerate" in wanted:
        assert running["max_framerate"] == wanted["max_framerate"]
    again = await callers.send(api.pool, row.caller.line, row.caller.headers, row.body)
    if any(row.body.get(key) for key in ("stream_id", "gateway_request_id", "manifest_id")):
        assert again.json()["message"] == "stream runs already"  # they ask again when in doubt


def test_every_caller_has_a_row_for_every_field() -> None:
    names = {(row.caller.name, row.row) for row in ROWS}
    assert len(names) == len(ROWS)
    assert {name for name, _ in names} == {
        "comfystream", "pytrickle", "byoc", "ai-runner", "go-livepeer",
    }  # fmt: skip
