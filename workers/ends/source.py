"""Where bytes come into the worker: from a trickle channel, into the decode thread's inbox."""

from __future__ import annotations

import time

from comfytrickle.errors import ComfytrickleError
from comfytrickle.trickle.subscriber import Subscriber
from workers.stages.items import Chunk, Item, SegmentEnd, SegmentStart, SourceEnd
from workers.stages.queues import Inbox
from workers.stages.stats import Stats


class SourceMissing(ComfytrickleError):
    """Waited for as long as the configuration allows."""


async def pump(subscriber: Subscriber, inbox: Inbox[Item], stats: Stats, *, was_seen: bool) -> None:
    """Read the channel to its end. Cancelling it ends the stream as the source's end would.

    ``was_seen``: a former worker of the stream has read it; if it is not there, it has ended.
    Raises SourceMissing, and what the subscriber raises (TrickleError: the server refuses).
    """
    cut = True
    try:
        async for segment in subscriber:
            await inbox.put(SegmentStart(segment.seq, segment.gap, segment.content_type))
            async for data in segment:
                stats.bytes_in += len(data)
                await inbox.put(Chunk(data, time.monotonic()), len(data))
            await inbox.put(SegmentEnd())
        cut = False
        if subscriber.end_reason == "never_appeared" and not was_seen:
            why = subscriber.last_error
            raise SourceMissing(
                "the source channel never appeared"
                if why is None
                else f"the source could not be reached: {why}"
            )
    finally:
        await subscriber.aclose()
        inbox.put_nowait(SourceEnd(cut))
