"""What callers do beside a start: change, stop, ask; what go-livepeer makes of refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comfytrickle import __version__
from control_plane.shapes import told
from tests.support import callers
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool

INVERT = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}
LIVE = "POST /live-video-to-video"
BYOC = (*callers.GO, "X-Stream-Id: one")
BYOC_JSON = (*callers.GO_JSON, "X-Stream-Id: one")


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


async def begin(api: Api, live: Live, stream_id: str) -> None:
    await api.start(stream_id, live.url("in"), live.url(stream_id))
    await api.wait(stream_id, lambda s: s["pipeline_ready"])


# --- stop, in all the ways that there are ---------------------------------------------------------

STOPS: dict[str, tuple[str, tuple[str, ...], bytes]] = {
    "byoc-without-a-body": ("POST /stream/stop", BYOC, b""),
    "byoc-with-words": ("POST /stream/stop", BYOC, b"stream ended"),
    "byoc-with-an-error": ("POST /stream/stop", BYOC_JSON, b"null"),
    "pytrickle-without-an-id": ("POST /stream/stop", callers.AIOHTTP, b"{}"),
    "pytrickle-with-an-id": (
        "POST /stream/stop", callers.AIOHTTP, b'{"gateway_request_id": "one"}'
    ),
    "comfystream-by-path": ("POST /stream/one/stop", callers.AIOHTTP, b""),
    "comfystream-below-api": ("POST /api/stream/one/stop", callers.AIOHTTP, b""),
    "comfystream-with-a-slash": ("POST /api/stream/one/stop/", callers.AIOHTTP, b""),
    "curl-with-a-form": ("POST /stream/one/stop", callers.CURL, b"a=b&c"),
    "curl-without-a-type": ("POST /stream/one/stop", (), b"\xff\x00"),
}  # fmt: skip


@pytest.mark.parametrize("way", STOPS)
async def test_a_stop_by(way: str, api: Api, live: Live) -> None:
    line, headers, body = STOPS[way]
    await begin(api, live, "one")
    method, path = line.split()
    reply = await callers.send(api.pool, f"{method} {path}?wait=30", headers, body)
    assert (reply.status, callers.stream_response(reply)["status"]) == (200, "success")
    assert reply.json()["request_id"] == "one" and reply.json()["state"] == "exited"
    if "X-Stream-Id: one" in headers:  # go-livepeer's monitor may stop it once more
        assert (await callers.send(api.pool, line, headers, body)).status == 200


async def test_a_stop_of_what_never_was(api: Api, live: Live) -> None:
    reply = await callers.send(api.pool, "POST /stream/stop", (*callers.GO, "X-Stream-Id: never"))
    assert reply.status == 404 and "never" in reply.json()["error"]
    assert (await callers.send(api.pool, "POST /stream/stop", callers.AIOHTTP)).status == 404


# --- params ---------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "byoc-flat": ("POST /stream/params", BYOC_JSON, {"prompts": INVERT}),
    "byoc-nested": ("POST /stream/params", BYOC_JSON, {"params": {"prompts": INVERT}}),
    "byoc-a-string": ("POST /stream/params", BYOC_JSON, {"params": json.dumps({"prompt": INVERT})}),
    "pytrickle-flat": ("POST /stream/params", callers.AIOHTTP, {"prompts": [INVERT]}),
    "comfystream-by-path": ("POST /api/stream/one/params/", callers.AIOHTTP, {"prompt": INVERT}),
    "a-whole-start": ("POST /stream/params", (), {
        "gateway_request_id": "one", "subscribe_url": "http://x/in", "params": {"prompts": INVERT},
    }),
}  # fmt: skip


@pytest.mark.parametrize("way", CHANGES)
async def test_a_change_by(way: str, api: Api, live: Live) -> None:
    line, headers, body = CHANGES[way]
    await begin(api, live, "one")
    reply = await callers.send(api.pool, line, headers, body)
    assert (reply.status, callers.stream_response(reply)["status"]) == (200, "success"), reply
    running = (await api.get("/stream/one/params"))[1]
    assert running["revision"] == reply.json()["revision"] == 1
    kinds = [node["class_type"] for node in running["params"]["prompt"].values()]
    assert "ImageInvert" in kinds


# --- without an id --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "body"),
    [("POST /stream/stop", b""), ("POST /stream/params", b'{"width": 64, "height": 64}'),
     ("GET /stream/status", b"")],
)  # fmt: skip
async def test_without_an_id_it_is_the_only_one_and_never_all(
    line: str, body: bytes, api: Api, live: Live
) -> None:
    await begin(api, live, "one")
    await begin(api, live, "two")
    reply = await callers.send(api.pool, line, callers.AIOHTTP, body)
    assert reply.status == 409 and "one, two" in reply.json()["error"]
    assert (await api.get("/streams"))[1]["count"] == 2
    await api.post("/stream/two/stop?wait=30")
    reply = await callers.send(api.pool, line, callers.AIOHTTP, body)
    assert (reply.status, reply.json()["request_id"]) == (200, "one")


# --- what go-livepeer's worker asks of a runner ---------------------------------------------------


async def test_a_runner_is_taken_up(api: Api, live: Live) -> None:
    """NewRunnerContainer: until /health is well, then the hardware, then the version."""
    assert callers.go_health(await callers.send(api.pool, "GET /health", callers.GO)) == "IDLE"
    info = await callers.send(api.pool, "GET /hardware/info", callers.GO)
    assert callers.go_hardware(info) == {}  # CPU slots are no GPUs
    assert msgspec.json.decode(info.raw, type=told.HardwareInfo).gpu_info == {}
    stats = await callers.send(api.pool, "GET /hardware/stats/", callers.GO)
    assert msgspec.json.decode(stats.raw, type=told.HardwareStats).gpu_stats == {}
    version = callers.go_version(await callers.send(api.pool, "GET /version", callers.GO))
    assert version == ("live-video-to-video", "comfyui", __version__)
    await begin(api, live, "one")
    assert callers.go_health(await callers.send(api.pool, "GET /health", callers.GO)) == "OK"


def live_body(live: Live | None = None, **fields: Any) -> dict[str, Any]:
    """Without ``live``, one that nothing is started from."""
    server = "http://127.0.0.1:9/" if live is None else live.server.url
    channels = {"subscribe_url": server + "in", "publish_url": server + "live"}
    return channels | {"model_id": "comfyui", "params": {}} | fields


GRAPH = {"1": {"class_type": "LoadTensor", "inputs": {}}, "2": {"class_type": "Nope", "inputs": {}}}
REFUSALS: dict[str, tuple[Any, str]] = {
    "no-json": (b"{", "400: not valid JSON"),
    "no-body": (b"", "400: the body is empty"),
    "a-list": ([1], "400: the body is a list"),
    "too-large": (b"[" + b" " * (9 << 20) + b"]", "400: the body is too large"),
    "no-url": (live_body(subscribe_url="ftp://x/y"), "400: subscribe_url: must be http"),
    "no-workflow": (live_body(params={"prompt": GRAPH}), "400: params.prompt: the workflow has no"),
    "no-engine": (live_body(params={"engine": "other"}), "400: params.engine"),
}


@pytest.mark.parametrize("why", REFUSALS)
@pytest.mark.parametrize("path", ["/live-video-to-video", "/api/live-video-to-video/"])
async def test_go_livepeer_reads_a_refusal(why: str, path: str, api: Api, live: Live) -> None:
    body, wanted = REFUSALS[why]
    reply = await callers.send(api.pool, f"POST {path}", callers.GO_JSON, body)
    with pytest.raises(callers.RunnerError) as caught:
        callers.go_live_video_to_video(reply)
    assert f"returned {wanted}" in str(caught.value)
    msgspec.json.decode(reply.raw, type=told.DetailError)
    assert callers.go_health(await callers.send(api.pool, "GET /health", callers.GO)) == "IDLE"


async def test_a_full_pool_is_an_error_that_go_livepeer_can_read(api: Api, live: Live) -> None:
    for name in ("one", "two"):
        await begin(api, live, name)
    reply = await callers.send(api.pool, LIVE, callers.GO_JSON, live_body(stream_id="three"))
    with pytest.raises(callers.RunnerError, match="returned 500: full: all 2 slots are taken"):
        callers.go_live_video_to_video(reply)
    assert int(reply.headers["retry-after"]) >= 1
    taken = live_body(stream_id="one")
    reply = await callers.send(api.pool, LIVE, callers.GO_JSON, taken)
    with pytest.raises(callers.RunnerError, match="returned 400: stream 'one' runs already"):
        callers.go_live_video_to_video(reply)
    assert callers.go_health(await callers.send(api.pool, "GET /health", callers.GO)) == "OK"
    other = await callers.send(api.pool, "POST /stream/start", callers.GO_JSON, live_body())
    assert other.status == 503 and other.json().keys() == {
        "error"
    }  # the shape is that path's alone


async def test_a_gateway_that_comes_back_gets_another_session(api: Api, live: Live) -> None:
    """The same stream on new channels, before the old ones have ended."""
    ids = {"stream_id": "s", "gateway_request_id": "g"}
    first = live_body(live, **ids, manifest_id="m1", publish_url=live.url("m1-out"))
    second = live_body(live, **ids, manifest_id="m2", publish_url=live.url("m2-out"))
    third = {**second, "gateway_request_id": "s", "publish_url": live.url("m3-out")}
    for body, wanted in ((first, "s"), (first, "s"), (second, "g"), (second, "g")):
        reply = await callers.send(api.pool, LIVE, callers.GO_JSON, body)
        assert callers.go_live_video_to_video(reply)["request_id"] == wanted
    assert list((await api.get("/streams"))[1]["streams"]) == ["s", "g"]
    await api.post("/stream/g/stop?wait=30")
    reply = await callers.send(api.pool, LIVE, callers.GO_JSON, third)
    assert callers.go_live_video_to_video(reply)["request_id"] == "m2"


async def test_draining_lets_nothing_in_and_ends_nothing(api: Api, live: Live) -> None:
    await begin(api, live, "one")
    try:
        for count in range(2):
            reply = await callers.send(api.pool, "POST /drain", callers.CURL, b"now=1")
            answer = msgspec.json.decode(reply.raw, type=told.Draining)
            assert (reply.status, answer.draining, answer.count) == (200, True, 1), count
        ready = await callers.send(api.pool, "GET /ready")
        assert (ready.status, ready.json()) == (503, {"ready": False, "reason": "draining"})
        reply = await callers.send(api.pool, LIVE, callers.GO_JSON, live_body())
        with pytest.raises(callers.RunnerError, match="returned 500: draining"):
            callers.go_live_video_to_video(reply)
        refused = await callers.send(api.pool, "POST /stream/start", callers.AIOHTTP, b"{}")
        assert refused.status == 503 and "draining" in refused.json()["error"]
        assert (await api.status("one"))["running"]
        assert callers.go_health(await callers.send(api.pool, "GET /health")) == "OK"
    finally:
        reply = await callers.send(api.pool, "DELETE /drain")
    assert msgspec.json.decode(reply.raw, type=told.Draining).draining is False
    assert (await api.get("/ready"))[0] == 200
    await begin(api, live, "two")


# --- with a token ---------------------------------------------------------------------------------


async def test_with_a_token(tmp_path: Path, live: Live) -> None:
    with running_pool(tmp_path, "--auth-token", "s3cret", "--devices", "cpu:1") as pool:
        reply = await callers.send(pool, LIVE, callers.GO_JSON, live_body())
        with pytest.raises(callers.RunnerError, match="returned 401: a valid Authorization"):
            callers.go_live_video_to_video(reply)
        assert reply.headers["www-authenticate"] == "Bearer"
        for path in ("/hardware/info", "/metrics", "/openapi.json", "/version", "/streams"):
            reply = await callers.send(pool, f"GET {path}", callers.GO)
            assert reply.status == 401 and reply.json().keys() == {"error"}
        assert callers.go_health(await callers.send(pool, "GET /health", callers.GO)) == "IDLE"
        for scheme in ("Bearer", "bearer"):
            known = (*callers.GO_JSON, f"Authorization: {scheme} s3cret")
            assert (await callers.send(pool, "GET /metrics", known)).status == 200
            body = live_body(live, stream_id="one")
            reply = await callers.send(pool, LIVE, known, body)
            assert callers.go_live_video_to_video(reply)["request_id"] == "one"
        wrong = (*callers.GO_JSON, "Authorization: Bearer s3cre", "X-Stream-Id: one")
        assert (await callers.send(pool, "POST /stream/stop", wrong)).status == 401
        right = (*callers.GO_JSON, "Authorization: Bearer s3cret", "X-Stream-Id: one")
        assert (await callers.send(pool, "POST /stream/stop", right)).status == 200
