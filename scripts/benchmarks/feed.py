"""A live source and a reader of the sink, in one loop: when was each frame written, when was it
read. Frames are matched by their timestamp, which the pool carries through unchanged.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp

from benchmarks.clip import FPS, EncodedUnit, endless
from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.units import PTS_MASK
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.subscriber import Subscriber


@dataclass
class Times:
    """time.monotonic() of each frame's last byte, by its timestamp; and of the first byte."""

    written: dict[int, float] = field(default_factory=dict)
    read: dict[int, float] = field(default_factory=dict)
    first_byte: float | None = None

    def latencies(self, skip_s: float = 0.0) -> list[float]:
        """Milliseconds, ascending, without the frames of the first ``skip_s`` seconds read."""
        start = min(self.read.values(), default=0.0) + skip_s
        return sorted(
            (at - self.written[pts]) * 1e3
            for pts, at in self.read.items()
            if pts in self.written and at >= start
        )


def quantile(values: list[float], q: float) -> float | None:
    """Of ascending values; None of none."""
    return round(values[min(len(values) - 1, int(q * len(values)))], 3) if values else None


async def feed(
    session: aiohttp.ClientSession, url: str, units: list[EncodedUnit], times: Times
) -> None:
    """Write the clip at its own rate until cancelled."""
    publisher = Publisher(session, url)
    await publisher.start()
    try:
        due = time.monotonic()
        for frame in endless(units):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due += 1 / FPS
            if frame.keyframe:
                await publisher.begin()
            # Stamped before the write: the frame's last byte cannot be on the wire earlier.
            times.written[frame.pts & PTS_MASK] = time.monotonic()
            await publisher.write(frame.data)
    finally:
        await publisher.close()


async def read(session: aiohttp.ClientSession, url: str, times: Times) -> None:
    """Note when each frame of the channel is there; until the channel ends or cancelled."""
    subscriber = Subscriber(session, url)
    demuxer = Demuxer()

    def note(now: float, units: list) -> None:  # type: ignore[type-arg]
        for unit in units:
            times.read.setdefault(unit.pts, unit.arrived)

    async for segment in subscriber:
        async for data in segment:
            now = time.monotonic()
            if times.first_byte is None:
                times.first_byte = now
            note(now, demuxer.feed(data, now))
        note(time.monotonic(), demuxer.segment_end(time.monotonic()))
