"""Only the thread that gives way gets the processor later."""

from __future__ import annotations

import os
import threading

import pytest

from workers.priority import NICE, in_background


def nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_background_work_gives_way_and_nothing_else_does() -> None:
    before = nice()
    assert await in_background(nice) == max(before, NICE)
    assert nice() == before

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_background(fail)
