"""The peer of the interoperability tests, in a process of its own (see peer_site).

async with Peer("subscribe", site, folder, url=..., ...) as peer:
    await peer.said("ready")
    ...
    await peer.over()
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.pool import ROOT

PATIENCE_S = 60.0  # a busy machine imports torch slowly


class Peer:
    """One of tests/support/peer_programs at work. ``events`` are what it said so far."""

    def __init__(self, program: str, site: Path, folder: Path, **parameters: Any) -> None:
        self.program = program
        self.events: list[dict[str, Any]] = []
        self._site = site
        self._log = folder / f"{program}.log"
        self._parameters = parameters
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Peer:
        path = os.pathsep.join([str(self._site), os.environ["PYTHONPATH"]])
        pipe = asyncio.subprocess.PIPE
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", f"tests.support.peer_programs.{self.program}"),
                json.dumps(self._parameters),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path},
                stdin=pipe,
                stdout=pipe,
                stderr=log,
            )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await asyncio.wait({self._reading})
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.events.append(json.loads(line))

    def times(self, event: str) -> list[float]:
        """When it said so (time.monotonic())."""
        return [e["at"] for e in self.events if e["event"] == event]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.check_alive()
            assert time.monotonic() < deadline, f"never came: {what}\n{self.log()}"
            await asyncio.sleep(0.01)

    def check_alive(self) -> None:
        assert not self._reading.done(), f"{self.program} has ended\n{self.log()}"

    async def said(self, event: str, times: int = 1) -> None:
        await self.until(lambda: len(self.times(event)) >= times, f"{times} x {event}")

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word.encode() + b"\n")

    async def over(self) -> None:
        """Until it has done its work and ended by itself."""
        code = await asyncio.wait_for(self._process.wait(), PATIENCE_S)
        await asyncio.wait_for(asyncio.shield(self._reading), PATIENCE_S)
        assert code == 0 and self.times("over"), f"{self.program} ended with {code}\n{self.log()}"

    def log(self) -> str:
        """The end of what it wrote to stderr."""
        return self._log.read_text(errors="replace")[-3000:]
