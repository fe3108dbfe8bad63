"""Work that can wait gives way to frames that cannot."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

NICE = 10


def give_way() -> None:
    """From here on, the calling thread (it alone: setpriority(2), Linux) gets the processor after
    others. There is no way back without privileges: for threads that end with their work."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


async def in_background(function: Callable[[], T]) -> T:
    """Run it in a thread of its own that gives way."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="background", initializer=give_way)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, function)
    finally:
        thread.shutdown(wait=False)
