"""Requests that cannot be served: refused with what is wrong, and nothing else happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.support import bad_requests as bad
from tests.support.live import Api, Live, consecutive
from tests.support.pool import Pool, running_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


def check_refusal(row: bad.Bad, status: int, answer: Any) -> None:
    assert status == row.status, answer
    assert all(part in json.dumps(answer) for part in row.said), answer
    assert row.field == answer.get("field", ""), answer
    assert row.field in answer["error"]
    if row.node is not None:
        node, kind = row.node
        entry = answer["node_errors"][node]
        assert entry["errors"][0]["type"] == kind, answer
        assert all(error["message"] for error in entry["errors"])


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{row.field}-{row.name}".replace(" ", "_")) for row in bad.ALL]
)
def test_a_start_is_refused(shared_pool: Pool, row: bad.Bad) -> None:
    family = {child.pid for child in shared_pool.children()}
    before = shared_pool.get("/health")[1]
    check_refusal(row, *shared_pool.post("/stream/start", row.body))
    after = shared_pool.get("/health")[1]
    assert after["status"] == before["status"] == "IDLE"
    assert after["slots"] == before["slots"] == {"total": 2, "free": 2}
    assert after["inspector"] == before["inspector"]
    assert {child.pid for child in shared_pool.children()} == family
    assert shared_pool.get("/stream/bad/status")[0] == 404


async def test_a_running_stream_does_not_notice(api: Api, live: Live) -> None:
    async with live.viewer("out") as viewer, live.source("in") as source:
        await api.start("bystander", live.url("in"), live.url("out"))
        await api.wait("bystander", lambda s: (s["frame_count"] or 0) > 10)
        before = (await api.get("/health"))[1]
        for row in bad.ALL:
            check_refusal(row, *await api.post("/stream/start", row.body))
            if isinstance(row.body, dict) and "params" in row.body and row.field != "params":
                # The same, to change a stream that runs.
                code, answer = await api.post("/stream/bystander/params", row.body)
                assert code == 400 and answer["field"] == row.field, (row.name, answer)
        after = (await api.get("/health"))[1]
        assert (after["status"], after["slots"]) == (before["status"], before["slots"])
        assert after["streams"] == {"ok": 1}
        status = await api.status("bystander")
        assert (status["params_revision"], status["restarts"]) == (0, 0)
        last = await source.end()
        await viewer.finished()
    consecutive(await asyncio.to_thread(viewer.counters), last)


@pytest.mark.parametrize("row", bad.PROMPTS[:-2] + bad.WORKFLOWS, ids=lambda row: row.name)
def test_validation_says_the_same(shared_pool: Pool, row: bad.Bad) -> None:
    [(key, prompt)] = row.body["params"].items()
    status, answer = shared_pool.post("/workflow/validate", {key: prompt})
    if row.node is None:
        assert status == 400 and answer["field"] == key
    else:
        assert (status, answer["valid"]) == (200, False)
        assert answer["node_errors"][row.node[0]]["errors"][0]["type"] == row.node[1]


async def test_ids(api: Api, live: Live) -> None:
    body = {
        "subscribe_url": live.url("nowhere"),
        "publish_url": live.url("out"),
        "gateway_request_id": "one",
        "params": {"width": 64, "height": 64},
    }
    workers = {child.pid for child in api.pool.children()}
    answers = await asyncio.gather(*(api.post("/stream/start", body) for _ in range(4)))
    assert {status for status, _ in answers} == {200}
    [pid] = {answer["pid"] for _, answer in answers}
    assert {child.pid for child in api.pool.children()} - workers == {pid}
    # The same again, said in another way, is still the same.
    same = {**body, "params": {"width": "64", "height": 64.0, "prompt": ""}}
    assert (await api.post("/stream/start", same))[0] == 200
    for change in (
        {"publish_url": live.url("other")},
        {"params": {"width": 128, "height": 64}},
        {"params": {"width": 64, "height": 64, "prompt": bad.GRAPH}},
    ):
        status, answer = await api.post("/stream/start", body | change)
        assert status == 409 and "'one'" in answer["error"]
    assert {child.pid for child in api.pool.children()} - workers == {pid}
    assert (await api.get("/health"))[1]["slots"]["free"] == 1
    for method, path in (
        ("GET", "/stream/two/status"),
        ("GET", "/stream/two/logs"),
        ("POST", "/stream/two/stop"),
        ("POST", "/stream/two/params"),
    ):
        status, answer = await api.call(method, path, {} if method == "POST" else None)
        assert status == 404 and "'two'" in answer["error"]
    assert (await api.get("/streams"))[1]["count"] == 1
    for message in ("stream stopped", "stream had ended already", "stream had ended already"):
        status, answer = await api.post("/stream/one/stop?wait=30")
        assert (status, answer["status"], answer["message"]) == (200, "success", message)
    assert not psutil.pid_exists(pid)
    assert (await api.get("/health"))[1]["slots"]["free"] == 2
