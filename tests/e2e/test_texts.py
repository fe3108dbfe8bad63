"""What a workflow says beside its picture: on the data channel, and to who asks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfytrickle.trickle.subscriber import Subscriber
from tests.support import rogue_nodes
from tests.support.live import Api, Live
from tests.support.pool import Pool, running_pool


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    nodes = ("--nodes", str(Path(rogue_nodes.__file__)))
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2", *nodes) as pool:
        yield pool


def telling(length: int = 0, *, remove_linebreaks: bool = True) -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "5": {"class_type": "RogueTell", "inputs": {"image": ["1", 0], "length": length}},
        "6": {
            "class_type": "SaveTextTensor",
            "inputs": {"data": ["5", 0], "remove_linebreaks": remove_linebreaks},
        },
        "9": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
    }


async def start(api: Api, live: Live, name: str, workflow: dict[str, Any]) -> int:
    body = {
        "subscribe_url": live.url("in"),
        "publish_url": live.url(name),
        "data_url": live.url(f"{name}-data"),
        "gateway_request_id": name,
        "params": {"prompt": workflow, "drop": "never"},
    }
    status, answer = await api.post("/stream/start", body)
    assert status == 200, answer
    return int(answer["pid"])


async def read(live: Live, name: str, lines: list[bytes], mimes: set[str | None]) -> None:
    async with Subscriber(live.session, live.url(f"{name}-data"), start=0, live=False) as channel:
        async for segment in channel:
            mimes.add(segment.content_type)
            whole = b"".join([piece async for piece in segment])
            assert whole.endswith(b"\n")  # no line is cut by a segment
            lines += whole.splitlines()


async def test_each_text_is_a_line_also_over_a_restart(api: Api, live: Live) -> None:
    lines: list[bytes] = []
    mimes: set[str | None] = set()
    reading = asyncio.create_task(read(live, "t", lines, mimes))
    async with live.source("in"):
        pid = await start(api, live, "t", telling())
        await api.wait("t", lambda s: (s["frame_count"] or 0) > 40)
        os.kill(pid, signal.SIGKILL)
        await api.wait("t", lambda s: s["restarts"] and s["pid"] != pid and s["fps"]["out"])
        seen = (await api.status("t"))["frame_count"]
        await api.wait("t", lambda s: s["frame_count"] > seen + 30)
        assert (await api.post("/stream/t/stop?wait=30"))[1]["message"] == "stream stopped"
        await asyncio.wait_for(reading, 20)
    said = [json.loads(line) for line in lines]
    assert mimes == {"application/jsonl"}
    assert {line["node_id"] for line in said} == {"6"}
    assert all(abs(line["timestamp"] / 1e3 - time.time()) < 120 for line in said)
    pts = [line["pts"] for line in said]
    assert pts == sorted(pts)
    numbers = [int(line["text"].removeprefix("frame ")) for line in said]
    begins = [n for n, number in enumerate(numbers) if number == 1]
    assert len(begins) == 2  # the second worker counts anew
    first, second = numbers[: begins[1]], numbers[begins[1] :]
    assert first == list(range(1, len(first) + 1)) and len(first) > 30
    assert second == list(range(1, len(second) + 1)) and len(second) > 30

    status, text = await api.get("/stream/t/text?tail=5")  # also after the end
    assert status == 200 and text.encode().splitlines() == lines[-5:]
    assert len((await api.get("/stream/t/text"))[1].splitlines()) == min(500, len(lines))
    assert (await api.get("/stream/t/text?tail=x"))[0] == 400
    assert (await api.get("/stream/none/text"))[0] == 404


async def test_a_line_stays_under_64_kib(api: Api, live: Live) -> None:
    """Whatever its text becomes in JSON; linebreaks stay where they are wanted."""
    lines: list[bytes] = []
    reading = asyncio.create_task(read(live, "l", lines, set()))
    async with live.source("in"):
        await start(api, live, "l", telling(70_000, remove_linebreaks=False))
        await api.wait("l", lambda s: (s["frame_count"] or 0) > 3)
        await api.post("/stream/l/stop?wait=30")
        await asyncio.wait_for(reading, 20)
    said = [json.loads(line) for line in lines]
    assert said and all(30_000 < len(line) < 65_536 for line in lines)
    assert all(line["truncated"] and line["text"].startswith("frame ") for line in said)
    assert all("\n" in line["text"] for line in said)
