"""Six chains of our parts and the peer's; each frame is followed by the counter burnt into it.

Every channel is on our trickle server: the peer has none. Each is also read by our own subscriber,
so that a frame that does not arrive is seen to be missing behind one part, and counted as its
owner's.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.server import TrickleServer
from tests.interop.ends import (
    OurViewer,
    Source,
    Viewer,
    open_our_viewer,
    open_peer_viewer,
    open_source,
)
from tests.interop.judging import Judged
from tests.interop.stages import OurPool, Stage, open_peer_server
from tests.interop.table import PROPERTY, Row
from tests.support.peer import PATIENCE_S
from tests.support.pool import Pool, running_pool

# Three seconds, at most four segments with the one that is preconnected: all of it stays in the
# server's window of five, so however busy the machine is, no reader can fall behind it.
FRAMES = 90
# Mean distance to the pattern's own frame, in levels. Two lossy encodings and the peer's way to RGB
# come to 4. The first frame that the peer encodes is softer: it scales it to 640x480 and back.
OFF_MAX, OFF_FIRST_MAX = 5.0, 9.0
UNMARKED_S = 1.0


@dataclass(frozen=True)
class Pair:
    """``held``: frames that the peer's decoder keeps until its channel ends. It waits for the first
    byte of the next frame; and, where the peer is also the encoder and gives its PES packets no
    length, for the start of the one after that."""

    number: int
    publisher: str
    between: tuple[str, ...]
    subscriber: str
    held: int

    @property
    def owners(self) -> list[str]:
        return [self.publisher, *self.between, self.subscriber]

    def __str__(self) -> str:
        return "-".join(self.owners)


PAIRS = [
    Pair(1, "theirs", (), "ours", 0),
    Pair(2, "ours", (), "theirs", 1),
    Pair(3, "theirs", (), "theirs", 2),
    Pair(4, "ours", ("theirs",), "ours", 1),
    Pair(5, "theirs", ("ours",), "theirs", 1),
    Pair(6, "ours", ("ours", "theirs"), "ours", 1),
]
NAMES = {"ours": "our pool", "theirs": "their StreamServer"}


@pytest.fixture(scope="module")
def pool(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:1") as running:
        yield running


async def came(condition: Callable[[], object], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


async def until(condition: Callable[[], object], what: str) -> None:
    assert await came(condition, PATIENCE_S), f"never came: {what}"


async def held_at_the_end(viewer: Viewer, known: int) -> int:
    """How many frames are not there when all that can come without an end has come.

    One more than ``known`` may be missing: of a frame that fills its last TS packet, the end does
    not show (1.3 % of frames).
    """
    await until(lambda: len(viewer.times) >= FRAMES - known - 1, "all frames but the held")
    await came(lambda: len(viewer.times) >= FRAMES - known, UNMARKED_S)
    return FRAMES - len(viewer.times)


class Chain:
    """The channels of one test, and who reads them."""

    def __init__(self, server: TrickleServer, session: aiohttp.ClientSession, links: int) -> None:
        self.server = server
        self.session = session
        self.urls = [f"{server.url}channel-{i}" for i in range(links)]
        self.taps: list[OurViewer] = []

    async def wait_for_requests(self, count: int) -> None:
        await until(lambda: self.server.waiting >= count, f"{count} requests wait")

    async def _last_with_bytes(self, i: int) -> int:
        """A publisher may leave an empty segment at the end: a preconnected one that it ended."""
        async with self.session.get(self.urls[i] + "/next") as reply:
            last = int(await reply.text()) - 1
        while True:
            async with self.session.get(f"{self.urls[i]}/{last}") as reply:
                if await reply.read():
                    return last
            last -= 1
            assert last >= 0, f"nothing in {self.urls[i]}"

    async def end_channel(self, i: int) -> None:
        """As a gateway does, when all has been read of it."""
        last = await self._last_with_bytes(i)
        await until(lambda: self.taps[i].read_to == last, f"the end of {self.urls[i]}")
        async with self.session.delete(self.urls[i]) as reply:
            assert reply.status == 200


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_frames_by_their_counters(
    pair: Pair, site: Path, pool: Pool, tmp_path: Path, record_property: Any
) -> None:
    links = len(pair.between) + 1
    async with AsyncExitStack() as stack:
        # the peer may leave its last POST unfinished: readers of it are let go sooner than usual
        server = TrickleServer(abort_grace_s=0.5)
        await server.start()
        stack.push_async_callback(server.close)
        session = await stack.enter_async_context(open_session())
        chain = Chain(server, session, links)
        for url in chain.urls:
            async with session.post(url, headers={"Expect-Content": "video/mp2t"}) as reply:
                assert reply.status == 200
            chain.taps.append(await stack.enter_async_context(open_our_viewer(session, url)))
        waiting = links
        await chain.wait_for_requests(waiting)

        # The peer's processes first, all at once: they take their time to import torch.
        opened = open_source(pair.publisher, session, chain.urls[0], FRAMES, site, tmp_path)
        source = await stack.enter_async_context(opened)
        viewer: Viewer = chain.taps[-1]
        if pair.subscriber == "theirs":
            opening = open_peer_viewer(chain.urls[-1], site, tmp_path)
            viewer = await stack.enter_async_context(opening)
        stages: list[Stage] = []
        for whose in pair.between:
            stage: Stage = OurPool(pool)
            if whose == "theirs":
                stage = await stack.enter_async_context(open_peer_server(session, site, tmp_path))
            stages.append(stage)
        parts: list[Source | Viewer | Stage] = [source, viewer, *stages]
        for part in parts:
            await part.ready()
        # Then the readers of each channel before its writer: who comes later has missed something.
        if pair.subscriber == "theirs":
            viewer.begin()
            waiting += 1
            await chain.wait_for_requests(waiting)
        for i, stage in reversed(list(enumerate(stages))):
            await stage.start(chain.urls[i], chain.urls[i + 1])
            waiting += stage.requests
            await chain.wait_for_requests(waiting)

        await source.play()
        held = await held_at_the_end(viewer, pair.held)
        await source.end()
        if pair.publisher == "theirs":
            await chain.end_channel(0)
        for i, stage in enumerate(stages):
            await stage.over()
            await chain.end_channel(i + 1)
        for tap in chain.taps:
            await tap.over()
            assert tap.subscriber.end_reason in ("closed", "gone")
        await viewer.over()

        seen = [await asyncio.to_thread(tap.judged) for tap in chain.taps]
        for tap, frames in zip(chain.taps, seen, strict=True):
            assert len(frames) == len(tap.times), "our demuxer counts what PyAV decodes"
        if pair.subscriber == "theirs":
            seen.append(await asyncio.to_thread(viewer.judged))

    lost = losses(pair, seen)
    # What it holds comes with the end of the channel. Its StreamServer then stops at once, and it
    # depends on which of its threads is first whether that still goes through.
    may_lose = set(range(FRAMES - pair.held, FRAMES)) if "theirs" in pair.between else set()
    delays = [b - a for a, b in zip(source.times, viewer.times, strict=False)]
    row = Row(
        number=pair.number,
        publisher=pair.publisher,
        between=" -> ".join(NAMES[whose] for whose in pair.between),
        subscriber=pair.subscriber,
        sent=len(source.times),
        received=len(seen[-1]),
        lost_ours=len(lost["ours"]),
        lost_theirs=len(lost["theirs"]),
        held=held,
        off=max(frame.off for frames in seen for frame in frames[1:]),
        off_first=max(frames[0].off for frames in seen),
        delay_ms=statistics.median(delays) * 1000,
    )
    record_property(PROPERTY, asdict(row))
    assert row.sent == FRAMES
    assert not lost["ours"], f"frames {sorted(lost['ours'])} were lost by our parts"
    assert lost["theirs"] <= may_lose, f"frames {sorted(lost['theirs'])} were lost by the peer"
    assert pair.held <= held <= pair.held + 1
    assert row.off <= OFF_MAX and row.off_first <= OFF_FIRST_MAX


def losses(pair: Pair, seen: list[list[Judged]]) -> dict[str, set[int]]:
    """Counters that each side has lost. Asserts that the others are in order, and readable."""
    lost: dict[str, set[int]] = {"ours": set(), "theirs": set()}
    before = set(range(FRAMES))
    for whose, frames in zip(pair.owners, seen, strict=False):
        numbers = [frame.counter for frame in frames if frame.counter is not None]
        assert len(numbers) == len(frames), f"unreadable: {frames}"
        assert numbers == sorted(before & set(numbers)), f"out of order or doubled: {numbers}"
        lost[whose] |= before - set(numbers)
        before = set(numbers)
    return lost
