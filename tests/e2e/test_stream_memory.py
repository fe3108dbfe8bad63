"""A workflow that takes all memory it can get meets its worker's limit, and nobody else does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import psutil
import pytest

from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.sources import pattern_chunks
from tests.support.pool import ROOT, Pool, running_pool
from tests.support.streams import example, open_way

LIMIT = 400_000_000
CHUNKS = list(pattern_chunks(EncoderSpec(256, 256), 150))
HOARD = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "RogueHoard", "inputs": {"image": ["1", 0], "after": 20}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    nodes = ROOT / "tests" / "support" / "rogue_nodes.py"
    flags = ("--devices", "cpu:2", "--nodes", str(nodes), "--worker-memory", str(LIMIT))
    with running_pool(tmp_path_factory.mktemp("pool"), *flags) as running:
        yield running


async def test_a_hog_meets_its_limit_and_the_neighbour_loses_no_frame(pool: Pool) -> None:
    async with (
        open_way(pool, workflow=example("invert")) as lives,
        open_way(pool, workflow=HOARD) as hoards,
    ):
        hog = psutil.Process((await hoards.status())["pid"])
        feeding = [asyncio.create_task(way.live(CHUNKS)) for way in (lives, hoards)]
        most = 0
        try:
            while True:
                status = await hoards.status()
                with contextlib.suppress(psutil.NoSuchProcess):  # it met its limit, and has gone
                    most = max(most, hog.memory_full_info().uss)
                error = status["last_error"]
                if error is not None:
                    break
                assert not feeding[1].done(), status
                await asyncio.sleep(0.02)
            await asyncio.gather(*feeding)
        finally:
            for task in feeding:
                task.cancel()
            await asyncio.wait(feeding)
        assert error["kind"] == "node" and (error["node_id"], error["node_type"]) == (
            "2",
            "RogueHoard",
        )
        assert "you tried to allocate 33554432 bytes" in error["message"]
        assert "out of memory: this worker may take" in error["message"]
        assert most < LIMIT * 1.1  # its pages, and those that it copied from the fork server
        status = await lives.end()
        assert status["restarts"] == 0 and status["frames"]["dropped"] == {}
        assert status["frames"]["out"] == len(CHUNKS)
