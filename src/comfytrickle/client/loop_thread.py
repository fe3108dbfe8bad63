"""An event loop in a thread of its own: for callers that have none, or whose own one is busy."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()
_LOOK_S = 0.5


class LoopThread:
    """``at_end`` is awaited in the loop before it ends."""

    def __init__(self, at_end: Callable[[], Awaitable[None]]) -> None:
        self._at_end = at_end
        # Nothing is handed over after the loop was told to end. Reentrant: an iterator may be
        # found as garbage, and closed, while it is held.
        self._lock = threading.RLock()
        self._closed = False
        self._stop = asyncio.Event()
        started: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        # A daemon: a script that forgot it can still end.
        self._thread = threading.Thread(
            target=self._run, args=(started,), name="comfytrickle-client", daemon=True
        )
        self._thread.start()
        self._loop = started.result()

    def _run(self, started: concurrent.futures.Future[asyncio.AbstractEventLoop]) -> None:
        try:
            asyncio.run(self._main(started))
        except OSError as error:  # no descriptors left for a loop
            if started.done():
                raise
            started.set_exception(error)

    async def _main(self, started: concurrent.futures.Future[asyncio.AbstractEventLoop]) -> None:
        started.set_result(asyncio.get_running_loop())
        await self._stop.wait()
        await self._at_end()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, from any thread but its own. Cancelled when the caller is
        interrupted. Raises RuntimeError once it is closed."""
        future = self._begin(work)
        try:
            return _result(future)
        finally:
            future.cancel()

    def iterate(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        """One by one as they are asked for; closed at the end, also at an early one."""
        source = _Source(items)
        try:
            while (item := _result(self._begin(source.next()))) is not _END:
                yield item
        finally:
            self._finish(source.close())

    def _finish(self, closing: Coroutine[Any, Any, None]) -> None:
        try:
            future = self._begin(closing)
            if threading.current_thread() is not self._thread:  # it may be where garbage is found
                _result(future)
        except _Closed:
            pass  # the loop has ended, and has closed them

    def _begin(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise _Closed

    def close(self) -> None:
        """What runs is cancelled; returns when the thread has ended."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._stop.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()


def _result(future: concurrent.futures.Future[T]) -> T:
    """Waits in short stretches: a signal that comes just before a wait does not end it, and its
    handler would be called only afterwards."""
    while not future.done():
        concurrent.futures.wait([future], _LOOK_S)
    try:
        return future.result()
    except concurrent.futures.CancelledError:
        raise _Closed from None


class _Closed(RuntimeError):
    def __init__(self) -> None:
        super().__init__("the client is closed")


class _Source:
    """Items, inside the loop."""

    def __init__(self, items: AsyncGenerator[Any, None]) -> None:
        self._items = items
        self._waiting: asyncio.Task[Any] | None = None

    async def next(self) -> Any:
        self._waiting = asyncio.current_task()
        try:
            return await anext(self._items, _END)
        finally:
            self._waiting = None

    async def close(self) -> None:
        """Also while ``next`` waits, whose caller was interrupted. It is cancelled here alone: a
        second time would break off its own closing."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait({self._waiting})
        await self._items.aclose()
