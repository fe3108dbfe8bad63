"""Those who call the API, as they really do it: their requests byte by byte, and readers that take
an answer as their own code does.

Sources: go-livepeer ai/worker/runner.gen.go, worker.go, container.go, byoc/stream_orchestrator.go;
ai-runner runner/src/runner/pipelines/live_video_to_video.py; pytrickle api.py; ComfyStream's
server/trickle_api.py and test/test_api.py of its trickle branch.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.support.pool import Pool
from tests.support.raw_http import RawHttp

# What their HTTP libraries add. Host and Content-Length come from RawHttp.
GO = ("User-Agent: Go-http-client/1.1", "Accept-Encoding: gzip")
GO_JSON = (*GO, "Content-Type: application/json")
AIOHTTP = ("User-Agent: Python/3.10 aiohttp/3.9.5", "Accept: */*",
           "Accept-Encoding: gzip, deflate", "Content-Type: application/json")  # fmt: skip
HTTP_CLIENT = ("Accept-Encoding: identity", "Content-Type: application/json")
CURL = ("User-Agent: curl/8.5.0", "Accept: */*", "Content-Type: application/x-www-form-urlencoded")


class Reply(NamedTuple):
    status: int
    content_type: str
    headers: dict[str, str]
    raw: bytes

    def json(self) -> Any:
        assert self.content_type.partition(";")[0] == "application/json", self
        return json.loads(self.raw)


async def send(pool: Pool, line: str, headers: tuple[str, ...] = (), body: Any = b"") -> Reply:
    """One request on a connection of its own. A body that is no bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = await RawHttp.connect(pool.url)
    try:
        if not raw and line.startswith("POST"):
            headers = (*headers, "Content-Length: 0")
        await connection.request(line, *headers, body=raw)
        head = await connection.head()
        answer = await connection.body(head)
    finally:
        await connection.close()
    return Reply(head.status, head.headers.get("content-type", ""), head.headers, answer)


# --- readers ------------------------------------------------------------------------------------


class RunnerError(Exception):
    """What go-livepeer makes of an error that it can read."""


def go_string(value: dict[str, Any], name: str) -> str:
    """encoding/json into a string: null and nothing leave it empty, another type is an error."""
    found = value.get(name)
    assert found is None or isinstance(found, str), (name, found)
    return found or ""


def go_int(value: dict[str, Any], name: str) -> int:
    found = value.get(name)
    assert found is None or (isinstance(found, int) and not isinstance(found, bool)), (name, found)
    return found or 0


def go_live_video_to_video(reply: Reply) -> dict[str, str]:
    """GenLiveVideoToVideoWithResponse, and worker.LiveVideoToVideo on it. Raises RunnerError.

    A status that it has no case for becomes a nil answer without an error, which its caller reads
    through: the process dies.
    """
    assert "json" in reply.content_type, f"read as nil: {reply}"
    value = json.loads(reply.raw)
    if reply.status == 200:
        names = ("publish_url", "subscribe_url", "control_url", "events_url", "request_id")
        return {name: go_string(value, name) for name in (*names, "manifest_id")}
    assert reply.status in (400, 401, 500), f"read as nil, or not at all: {reply}"
    message = go_string(value["detail"], "msg")
    raise RunnerError(f"live-video-to-video container returned {reply.status}: {message}")


def go_health(reply: Reply) -> str:
    """HealthWithResponse in container.go."""
    assert reply.status == 200 and "json" in reply.content_type
    word = go_string(json.loads(reply.raw), "status")
    assert word in ("LOADING", "OK", "ERROR", "IDLE")
    return word


def go_hardware(reply: Reply) -> dict[str, dict[str, Any]]:
    """HardwareInfoWithResponse: HardwareInformation."""
    assert reply.status == 200 and "json" in reply.content_type
    value = json.loads(reply.raw)
    assert go_string(value, "pipeline") and go_string(value, "model_id")
    numbers = ("major", "minor", "memory_total", "memory_free")
    return {
        key: {"id": go_string(gpu, "id"), "name": go_string(gpu, "name")}
        | {name: go_int(gpu, name) for name in numbers}
        for key, gpu in value["gpu_info"].items()
    }


def go_version(reply: Reply) -> tuple[str, str, str]:
    assert reply.status == 200 and "json" in reply.content_type
    value = json.loads(reply.raw)
    pipeline, model_id = go_string(value, "pipeline"), go_string(value, "model_id")
    return pipeline, model_id, go_string(value, "version")


def stream_response(reply: Reply) -> dict[str, Any]:
    """pytrickle's StreamResponse (pydantic): what its and ComfyStream's callers read."""
    value: dict[str, Any] = reply.json()
    assert isinstance(value["status"], str) and isinstance(value["message"], str)
    assert value.get("request_id") is None or isinstance(value["request_id"], str)
    assert value.get("config") is None or isinstance(value["config"], dict)
    return value
