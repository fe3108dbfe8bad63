"""A pool with misbehaving nodes, and a healthy stream beside them, for test_supervision_*.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.trickle.client_session import open_session
from tests.support import family
from tests.support.faults import FAULTS, FLAGS, Outcome, Victim
from tests.support.lane import Lane
from tests.support.live import Api
from tests.support.pool import Pool, running_pool
from tests.support.streams import serving

# 30 fps; several at once on a small machine. A segment takes two seconds, so the window of a
# channel holds ten, of which a hang takes three and more.
SMALL = EncoderSpec(width=128, height=96, gop=60)


@dataclass
class House:
    """A pool, a trickle server, and what was there before a test."""

    pool: Pool
    api: Api
    session: aiohttp.ClientSession
    channels: str
    folder: Path
    mark: str
    before: family.Holding

    async def do(self, name: str, **params: str) -> Outcome:
        victim = Victim(self.api, self.session, self.channels, self.folder, FAULTS[name])
        return await victim.suffer(SMALL, drop="never", **params)

    async def do_all(self, *names: str) -> dict[str, Outcome]:
        """At the same time, beside a healthy stream that loses nothing by it."""
        async with self.healthy():
            outcomes = await asyncio.gather(*(self.do(name) for name in names))
        left = await family.left_behind(self.before, self.mark, self.pool.process.pid)
        assert left == []
        return dict(zip(names, outcomes, strict=True))

    @asynccontextmanager
    async def healthy(self, name: str = "healthy") -> AsyncIterator[Lane]:
        async with Lane.open(self.session, self.channels, name, SMALL) as lane:
            await self.api.start(name, lane.source_url, lane.sink_url, drop="never")
            await lane.came(10)
            yield lane
            await lane.end()
            await lane.over()
            report = await lane.report()
            assert (report.missing, report.disorder) == ([], [])
            assert report.seqs_go_on
            status = await self.api.wait(name, lambda s: not s["running"])
            assert (status["restarts"], status["exit_cause"]) == (0, "source_ended")


@pytest.fixture(scope="package")
def marked_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pool, str]]:
    folder = tmp_path_factory.mktemp("pool")
    with family.marked() as mark, running_pool(folder, "--devices", "cpu:8", *FLAGS) as pool:
        asyncio.run(Api(pool).fill_threads())
        yield pool, mark


@asynccontextmanager
async def housed(pool: Pool, mark: str, folder: Path) -> AsyncIterator[House]:
    api = Api(pool)
    async with serving() as channels, open_session() as session:
        before = family.Holding.take(mark, pool.process.pid)
        yield House(pool, api, session, channels, folder, mark, before)
        if pool.process.poll() is None:
            await api.clear()


@pytest.fixture
async def house(marked_pool: tuple[Pool, str], tmp_path: Path) -> AsyncIterator[House]:
    async with housed(*marked_pool, tmp_path) as house:
        yield house
