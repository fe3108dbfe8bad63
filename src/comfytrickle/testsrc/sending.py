"""Writes the chunks of a source to a channel, each when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from comfytrickle.mpegts.units import CLOCK
from comfytrickle.testsrc.sources import Chunk
from comfytrickle.trickle.publisher import Publisher

_LATE_S = 0.05  # later than this is worth a word


@dataclass(slots=True)
class Sent:
    """Totals so far."""

    frames: int = 0
    segments: int = 0
    bytes: int = 0
    media_s: float = 0.0  # from the first dts to the last
    late: int = 0  # frames written more than 50 ms after they were due: the machine is too slow


async def send(
    publisher: Publisher,
    chunks: Iterator[Chunk],
    sent: Sent,
    *,
    realtime: bool,
    frames: int | None = None,
    seconds: float | None = None,
    before_write: Callable[[Chunk], None] | None = None,
) -> None:
    """Publish until ``chunks`` end, or ``frames`` video frames or ``seconds`` of media are out.

    With ``realtime`` a chunk is written when its dts is due, the first one at once; a source that
    is late is not made later (the next chunks catch up). Chunks are made one ahead, in a thread.
    ``before_write`` is called right before the bytes of a chunk are handed over. The last segment
    stays open: the publisher's owner ends it with close().
    """
    loop = asyncio.get_running_loop()
    in_segment = False
    start = first_dts = None
    with ThreadPoolExecutor(1, "source") as pool:
        try:
            while frames is None or sent.frames < frames:
                chunk = await loop.run_in_executor(pool, next, chunks, None)
                if chunk is None:
                    break
                if start is None or first_dts is None:
                    start, first_dts = loop.time(), chunk.dts
                media = (chunk.dts - first_dts) / CLOCK
                if seconds is not None and media >= seconds:
                    break
                if realtime:
                    wait = start + media - loop.time()
                    if wait > 0:
                        await asyncio.sleep(wait)
                    elif wait < -_LATE_S:
                        sent.late += chunk.video
                if not in_segment and not chunk.begins_segment:
                    continue  # before the first keyframe nothing can be decoded
                if chunk.begins_segment:
                    await publisher.begin()
                    in_segment = True
                    sent.segments += 1
                if before_write is not None:
                    before_write(chunk)
                await publisher.write(chunk.data)
                sent.bytes += len(chunk.data)
                sent.frames += chunk.video
                sent.media_s = max(sent.media_s, media)
        finally:
            if isinstance(chunks, Generator):
                pool.submit(chunks.close)  # in its own thread, where it may still be running
