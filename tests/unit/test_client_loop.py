"""The sync client's loop in its thread: results, interrupts, iterators, the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
import weakref
from collections.abc import AsyncGenerator, Iterator

import pytest

from comfytrickle.client import Client
from comfytrickle.client.loop_thread import LoopThread


async def nothing() -> None:
    pass


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread(nothing)
    yield thread
    thread.close()


async def fails() -> None:
    raise LookupError("here")


async def number(value: int) -> int:
    await asyncio.sleep(0)
    return value


class Endless:
    """Numbers for ever; ``closed`` when somebody closed them."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.waits = threading.Event()

    async def numbers(self, until: int | None = None) -> AsyncGenerator[int, None]:
        n = 0
        try:
            while n != until:
                yield n
                n += 1
            self.waits.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.closed.set()


def test_results_and_errors_come_out(thread: LoopThread) -> None:
    assert thread.run(number(3)) == 3
    with pytest.raises(LookupError, match="here"):
        thread.run(fails())
    assert thread.run(number(4)) == 4


def test_iterators_end_and_are_closed_when_left(thread: LoopThread) -> None:
    async def three() -> AsyncGenerator[int, None]:
        for n in range(3):
            yield n

    assert list(thread.iterate(three())) == [0, 1, 2]
    left = Endless()
    for n in thread.iterate(left.numbers()):
        if n == 5:
            break
    assert left.closed.wait(10)
    unused = thread.iterate(Endless().numbers())
    del unused  # never begun: nothing to close, and no warning


def interrupted(thread: LoopThread, ready: threading.Event, begin: Iterator[int]) -> None:
    """Ctrl-C while the main thread waits in ``begin``."""
    main = threading.get_ident()

    def interrupt() -> None:
        if ready.wait(10):
            signal.pthread_kill(main, signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    # A process that was started in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    helper.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(begin)
    finally:
        helper.join()
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_cancels_and_closes(thread: LoopThread) -> None:
    endless = Endless()
    interrupted(thread, endless.waits, thread.iterate(endless.numbers(until=3)))
    assert endless.closed.is_set()
    assert thread.run(number(1)) == 1  # and it goes on


def test_the_end_cancels_what_others_wait_for() -> None:
    ended = threading.Event()

    async def at_end() -> None:
        ended.set()

    thread = LoopThread(at_end)
    endless = Endless()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            list(thread.iterate(endless.numbers(until=0)))
        except RuntimeError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert endless.waits.wait(10)
    thread.close()
    waiter.join(10)
    assert not waiter.is_alive() and ended.is_set() and endless.closed.is_set()
    assert [str(error) for error in errors] == ["the client is closed"]
    with pytest.raises(RuntimeError, match="closed"):
        thread.run(number(1))
    thread.close()  # once more is no error


async def test_a_client_that_is_forgotten_is_closed() -> None:
    before = set(threading.enumerate())
    client = Client("http://127.0.0.1:9")
    stream = client.stream("a")
    gone = weakref.ref(client)
    (thread,) = set(threading.enumerate()) - before
    del client
    gc.collect()
    assert gone() is not None and thread.is_alive()  # its stream still needs it
    del stream
    gc.collect()
    assert gone() is None
    thread.join(10)
    assert not thread.is_alive()


def test_a_closed_client_says_so() -> None:
    with Client("http://127.0.0.1:9") as client:
        stream = client.stream("a")
    for call in (client.list, stream.status, client.close):
        with contextlib.nullcontext() if call == client.close else pytest.raises(RuntimeError):
            call()
