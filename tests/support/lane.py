"""A stream as its users see it: a live source with counted frames, and a reader of its sink.

async with Lane.open(session, channels, "a", spec) as lane:
    ...  start a stream from lane.source_url to lane.sink_url
    await lane.came(30)
    await lane.end()
    report = await lane.report()
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from comfytrickle.testsrc.encoder import EncoderSpec
from comfytrickle.testsrc.sending import Sent, send
from comfytrickle.testsrc.sources import Chunk, pattern_chunks
from comfytrickle.trickle.publisher import Publisher
from tests.support.streams import Sink

PATIENCE_S = 60.0
SPEC = EncoderSpec(width=256, height=256, gop=30)  # 30 fps, a keyframe and a segment a second


@dataclass(frozen=True)
class Report:
    """What came out. Every frame of the sink was decoded, and its counter read."""

    counters: list[int | None]
    seqs: list[int]
    last_written: int

    @property
    def missing(self) -> list[int]:
        """Counters that should have come out after the first one that did."""
        got = set(self.counters)
        first = next((n for n in self.counters if n is not None), self.last_written + 1)
        return [n for n in range(first, self.last_written + 1) if n not in got]

    @property
    def disorder(self) -> list[tuple[int | None, int | None]]:
        """Neighbours in the sink of which the second is not a later frame: doubled, out of order,
        unreadable."""
        pairs = itertools.pairwise(self.counters)
        return [(a, b) for a, b in pairs if a is None or b is None or b <= a]

    @property
    def seqs_go_on(self) -> bool:
        return self.seqs == list(range(self.seqs[0], self.seqs[0] + len(self.seqs)))


class Lane:
    """Made by ``open``. Frame n has counter n."""

    def __init__(self, publisher: Publisher, sink: Sink, spec: EncoderSpec) -> None:
        self.source_url = ""
        self.sink_url = ""
        self.sink = sink
        self.written: list[float] = []  # time.monotonic() right before each frame
        self._publisher = publisher
        self._ending = False
        self._feeding = asyncio.create_task(self._feed(spec))

    @classmethod
    @asynccontextmanager
    async def open(
        cls, session: aiohttp.ClientSession, channels: str, name: str, spec: EncoderSpec = SPEC
    ) -> AsyncIterator[Lane]:
        """``channels``: base URL of the trickle server; the channels are ``name``-in and -out."""
        source_url, sink_url = f"{channels}{name}-in", f"{channels}{name}-out"
        async with Publisher(session, source_url) as publisher:
            lane = cls(publisher, Sink(session, sink_url), spec)
            lane.source_url, lane.sink_url = source_url, sink_url
            try:
                yield lane
            finally:
                await lane.end()
                await lane.sink.close()

    async def _feed(self, spec: EncoderSpec) -> None:
        def chunks() -> Iterator[Chunk]:
            for chunk in pattern_chunks(spec):
                if self._ending:
                    return
                yield chunk

        await send(self._publisher, chunks(), Sent(), realtime=True, before_write=self._note)

    def _note(self, chunk: Chunk) -> None:
        self.written.append(time.monotonic())

    async def end(self) -> None:
        """End the source's channel."""
        self._ending = True
        await asyncio.wait_for(asyncio.shield(self._feeding), PATIENCE_S)
        await self._publisher.close()

    async def came(self, frames: int) -> None:
        """Until so many more are in the sink."""
        wanted = self.sink.frames + frames
        deadline = time.monotonic() + PATIENCE_S
        while self.sink.frames < wanted:
            assert not self.sink.task.done(), f"the sink ended after {self.sink.frames} frames"
            assert time.monotonic() < deadline, f"of {frames} frames, {self.sink.frames} came"
            await asyncio.sleep(0.01)

    async def over(self) -> None:
        """Until the sink's channel has ended."""
        await asyncio.wait_for(asyncio.shield(self.sink.task), PATIENCE_S)

    async def report(self) -> Report:
        """What is in the sink by now."""
        frames = await asyncio.to_thread(self.sink.decode)
        return Report(
            [frame.counter for frame in frames],
            [segment.seq for segment in self.sink.segments],
            len(self.written) - 1,
        )

    def first_after(self, moment: float) -> float | None:
        """When the first frame came after that moment."""
        return next((at for at in self.sink.arrivals if at > moment), None)

    def output_again(self, moment: float) -> float | None:
        """When output went on after an interruption that began at that moment: the end of the
        longest silence after it. (What was on its way at that moment still comes.)"""
        times = [moment, *(at for at in self.sink.arrivals if at > moment)]
        pairs = list(itertools.pairwise(times))
        return max(pairs, key=lambda pair: pair[1] - pair[0])[1] if pairs else None
