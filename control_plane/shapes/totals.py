"""Counters of a stream over all its workers. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from comfytrickle.messages import Counters
from comfytrickle.progress import Progress


def add(past: Counters, present: Counters) -> Counters:
    """Field by field, causes of drops one by one."""
    sums: dict[str, Any] = {}
    for name in Counters.__struct_fields__:
        a, b = getattr(past, name), getattr(present, name)
        if isinstance(a, dict):
            sums[name] = {cause: a.get(cause, 0) + b.get(cause, 0) for cause in {**a, **b}}
        else:
            sums[name] = a + b
    return Counters(**sums)


def of_dead_worker(last: Counters | None, progress: Progress | None) -> Counters:
    """What a worker counted in its life. Its last Status may be half a second old; ``progress``
    is exact for the frames that went out.

    Frames that were on their way when it died do not count as come in: its successor reads them
    again.
    """
    counters = last or Counters()
    frames_out = max(counters.frames_out, progress.frames_out if progress else 0)
    return msgspec.structs.replace(
        counters,
        frames_out=frames_out,
        frames_in=frames_out + sum(counters.dropped.values()),
    )
