"""What viewers see while the next workflow of a live stream takes its time to load."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfytrickle.testsrc import counter
from tests.support import clips, rogue_nodes
from tests.support.pool import Pool, running_pool
from tests.support.streams import OutFrame, Way, open_way

CLIP = clips.plain(240)  # segments of ten frames
SEGMENTS = 24


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    nodes = ("--nodes", str(Path(rogue_nodes.__file__)))
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2", *nodes) as running:
        yield running


def inverted_when(path: Path) -> dict[str, Any]:
    """Loads as soon as ``path`` is there."""
    return {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "5": {"class_type": "RogueSlowLoad", "inputs": {"path": str(path)}},
        "6": {
            "class_type": "ImageBlend",
            "inputs": {
                "image1": ["8", 0],
                "image2": ["8", 0],
                "blend_factor": ["5", 0],
                "blend_mode": "normal",
            },
        },
        "8": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "9": {"class_type": "SaveTensor", "inputs": {"images": ["6", 0]}},
    }


def is_dark(frame: OutFrame) -> bool:
    """All but the wheel in the middle."""
    edge = frame.luma[: frame.luma.shape[0] // 8]
    return int(edge.max()) < 90


async def change_late(
    pool: Pool, way: Way, path: Path, enough: Any, **params: Any
) -> list[OutFrame]:
    """Change the workflow, let frames pass until ``enough(status)``, and only then let it load."""

    async def feed(number: int) -> dict[str, Any]:
        segment = CLIP.segments[number]
        await way.segment(segment.data, len(segment.counters), seed=number)
        return await way.shows(lambda s: s["frames"]["out"] >= 10 * (number + 1))

    for number in range(4):
        await feed(number)
    body = {"prompt": inverted_when(path), **params}
    url = f"/stream/{way.name}/params"
    asking = asyncio.create_task(asyncio.to_thread(pool.post, url, body))
    try:
        number = 4
        while not enough(await feed(number)):
            number += 1
        assert not asking.done()
    finally:
        await asyncio.to_thread(path.touch)
    status, answer = await asking
    assert (status, answer.get("revision")) == (200, 1), answer
    loaded = number + 1
    for number in range(loaded, loaded + 3):
        await feed(number)
    await way.source.close()
    await way.over()
    frames = await asyncio.to_thread(way.sink.decode)
    assert len(frames) == 10 * (loaded + 3)  # whatever is shown, none is lost
    assert all(counter.is_inverted(frame.luma) for frame in frames[-30:])
    assert not any(is_dark(frame) for frame in [*frames[:40], *frames[-30:]])
    return frames[40:-30]


async def test_the_old_workflow_goes_on(pool: Pool, tmp_path: Path) -> None:
    async with open_way(pool, drop="never") as way:
        frames = await change_late(pool, way, tmp_path / "go", lambda s: s["frames"]["out"] >= 100)
    assert len(frames) == 60
    assert not any(is_dark(f) or counter.is_inverted(f.luma) for f in frames)


async def test_a_notice_is_shown_to_who_asks_for_it(pool: Pool, tmp_path: Path) -> None:
    async with open_way(pool, drop="never") as way:
        frames = await change_late(
            pool,
            way,
            tmp_path / "go",
            lambda s: s["frames"]["passed_through"] >= 15,
            while_loading="notice",
        )
        passed = (await way.status())["frames"]["passed_through"]
    dark = [is_dark(frame) for frame in frames]
    assert dark == sorted(dark) and sum(dark) == passed >= 15  # from some frame on, until it loads
    urls = {"subscribe_url": "http://127.0.0.1:9/a", "publish_url": "http://127.0.0.1:9/b"}
    status, answer = pool.post("/stream/start", {**urls, "params": {"while_loading": "blank"}})
    assert (status, "old, notice" in answer["error"]) == (400, True), answer
