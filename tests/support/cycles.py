"""Streams that come and go, some of them with a crash: what a control plane holds afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil

from comfytrickle.testsrc.encoder import EncoderSpec
from tests.support.faults import FAULTS
from tests.support.lane import Lane
from tests.support.live import Api

_TRIGGERS = 8  # more than crash at the same time; the workflows repeat, as those of users do
SPEC = EncoderSpec(width=128, height=96, gop=10)


class Cycles:
    """All streams read one source, and write channels that nobody reads."""

    def __init__(self, api: Api, lane: Lane, folder: Path) -> None:
        self._api = api
        self._lane = lane
        self._folder = folder
        self._done = 0
        self.crashed = 0

    async def do(self, count: int, every: int, at_once: int = 4) -> None:
        """Start and stop ``count`` streams; the last of each ``every`` loses a worker between."""
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                await self._one(crash=number % every == every - 1)

        await asyncio.gather(*(some() for _ in range(at_once)))

    async def _one(self, crash: bool) -> None:
        self._done += 1
        number, name = self._done, f"cycle-{self._done}"
        params: dict[str, Any] = {}
        if crash:
            self.crashed += 1
            trigger = self._folder / f"{self.crashed % _TRIGGERS}.trigger"
            params["prompt"] = FAULTS["segfault"].workflow(trigger, self._folder / "stamp")
        sink = f"{self._lane.sink_url}-{number}"
        await self._api.start(name, self._lane.source_url, sink, **params)
        await self._api.wait(name, lambda s: s["frame_count"])
        if crash:
            trigger.touch()
            status = await self._api.wait(name, lambda s: s["restarts"] and s["fps"]["out"])
            assert status["deaths"][-1]["signal"] == "SIGSEGV"
        code, answer = await self._api.post("/stream/stop?wait=30", {"stream_id": name})
        assert code == 200, answer

    def rss(self) -> int:
        """Of the control plane, bytes."""
        return int(psutil.Process(self._api.pool.process.pid).memory_info().rss)
