"""How one end of a ring sleeps until the other one has done something, or is gone."""

from __future__ import annotations

import asyncio
import math
import os
import select
import time
from collections.abc import Callable

_ASK_S = 0.00006
_BRIEF_S = 0.001


def notify(event: int) -> None:
    """Wake who sleeps on that eventfd, now or when it comes to."""
    try:
        os.eventfd_write(event, 1)
    except BlockingIOError:
        pass  # its counter is full, by no writer of ours: it can be read all the same


class Waiting:
    """Sleeps on one eventfd and, if there is one, on the peer's end. Owns its copy of ``peer``.

    ``peer`` is a descriptor that becomes readable when the peer's process is gone, and not before:
    a pidfd, or a pipe or socket that ends with it and on which nothing is sent. An event is
    cleared *before* the caller looks at the shared memory again, so none is missed.
    """

    def __init__(self, event: int, peer: int | None) -> None:
        self._event = event
        self._peer: int | None = None
        self._poll = select.poll()
        self._poll.register(event, select.POLLIN)
        self._is_brief = False  # the last wait was
        self.watch(peer)

    def watch(self, peer: int | None) -> None:
        """Another peer from now on. Not while somebody waits."""
        if self._peer is not None:
            self._poll.unregister(self._peer)
            os.close(self._peer)
            self._peer = None
        if peer is not None:
            # An event loop keeps one callback a descriptor, and a pidfd is waited for by others.
            self._peer = os.dup(peer)
            self._poll.register(self._peer, select.POLLIN)

    def peer_gone(self) -> bool:
        if self._peer is None:
            return False
        poll = select.poll()
        poll.register(self._peer, select.POLLIN)
        return bool(poll.poll(0))

    def block(self, timeout: float | None, ready: Callable[[], bool]) -> bool:
        """The calling thread, at most ``timeout`` seconds. False: nothing has happened.

        ``ready``: whether what is waited for is there. After a brief wait it is asked for a moment,
        because to sleep and to be woken takes longer than a copy. Frames that come at the rate of
        video are always slept for.
        """
        begun = time.perf_counter()
        if self._is_brief:
            while time.perf_counter() < begun + _ASK_S:
                if ready():
                    return True
        milliseconds = None if timeout is None else max(0, math.ceil(timeout * 1000))
        happened = bool(self._poll.poll(milliseconds))
        self._is_brief = time.perf_counter() < begun + _BRIEF_S
        self._clear()
        return happened

    async def arrive(self) -> None:
        """The calling task. Cancelling it loses nothing."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        descriptors = [d for d in (self._event, self._peer) if d is not None]
        for descriptor in descriptors:
            loop.add_reader(descriptor, wake)
        try:
            await woken
        finally:
            for descriptor in descriptors:
                loop.remove_reader(descriptor)
        self._clear()

    def _clear(self) -> None:
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            pass  # it was the peer's end, or the time was over

    def close(self) -> None:
        self.watch(None)
