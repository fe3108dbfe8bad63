"""Bounded hand-overs: from the asyncio loop to a thread, back, and between two threads.

A full one makes the giving side wait, so that back-pressure travels to the socket and memory
stays flat.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The other side is gone; nothing can be handed over any more."""


class Inbox(Generic[T]):
    """From the loop to one thread."""

    def __init__(self, max_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._max = max_bytes
        self._items: queue.SimpleQueue[tuple[T, int]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._held = 0
        self._full = False
        self._room = asyncio.Event()

    async def put(self, item: T, size: int = 0) -> None:
        """Hand over ``item``; then wait while more than max_bytes are held."""
        with self._lock:
            self._held += size
            self._full = self._held > self._max
            full = self._full
        self._items.put((item, size))
        if full:
            self._room.clear()
            with self._lock:
                full = self._full  # the thread may have made room before the clear
            if full:
                await self._room.wait()

    def put_nowait(self, item: T) -> None:
        """For commands, which must not wait behind data's bound."""
        self._items.put((item, 0))

    def get(self, timeout: float | None = None) -> T | None:
        """The next item; None when ``timeout`` seconds passed without one. Thread side."""
        try:
            item, size = self._items.get(timeout=timeout)
        except queue.Empty:
            return None
        if size:
            with self._lock:
                self._held -= size
                wake = self._full and self._held <= self._max // 2
                if wake:
                    self._full = False
            if wake:
                self._loop.call_soon_threadsafe(self._room.set)
        return item


class Outbox(Generic[T]):
    """From one thread to the loop."""

    def __init__(self, max_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._max = max_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._room = threading.Condition()
        self._held = 0
        self._closed = False
        self._filled = asyncio.Event()

    def put(self, item: T, size: int = 0) -> None:
        """Hand over ``item``, waiting while more than max_bytes are held. Thread side.

        Raises Closed when the loop's side has gone.
        """
        with self._room:
            while self._held > self._max and not self._closed:
                self._room.wait()
            if self._closed:
                raise Closed
            self._held += size
            self._items.append((item, size))
        self._loop.call_soon_threadsafe(self._filled.set)

    async def get(self) -> T:
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        item, size = self._items.popleft()
        if size:
            with self._room:
                was_full = self._held > self._max
                self._held -= size
                if was_full:
                    self._room.notify_all()
        return item

    def close(self) -> None:
        """Let a waiting thread go; what is held is dropped."""
        with self._room:
            self._closed = True
            self._items.clear()
            self._room.notify_all()


class Handover(Generic[T]):
    """From one thread to another, a few items at most."""

    def __init__(self, max_items: int) -> None:
        self._max = max_items
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._closed = False
        self._poked = False

    def put(self, item: T) -> None:
        """Wait for room. Raises Closed when the taking side has gone."""
        with self._changed:
            while len(self._items) >= self._max and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify()

    def get(self, timeout: float | None = None) -> T | None:
        """The next item; None when the giving side has ended and all was taken.

        Raises queue.Empty when ``timeout`` seconds passed without either, or when poked.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended or self._poked, timeout)
            if self._poked or not (self._items or self._ended):
                self._poked = False
                raise queue.Empty
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify()
            return item

    def poke(self) -> None:
        """Any thread: make get raise queue.Empty once, now or at its next call."""
        with self._changed:
            self._poked = True
            self._changed.notify_all()

    def end(self) -> None:
        """Giving side: nothing more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Taking side: nothing more will be taken."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
