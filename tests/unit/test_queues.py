"""The hand-overs between loop and threads keep order, bound what they hold, and let go."""

from __future__ import annotations

import asyncio
import threading

import pytest

from workers.stages.queues import Closed, Handover, Inbox, Outbox


async def test_inbox_keeps_order_and_waits_when_full() -> None:
    inbox: Inbox[int] = Inbox(max_bytes=100)
    await inbox.put(1, 60)
    second = asyncio.create_task(inbox.put(2, 60))  # 120 held: waits
    done, _ = await asyncio.wait([second], timeout=0.05)
    assert not done
    got: list[int | None] = []
    taking = threading.Thread(target=lambda: got.extend(inbox.get() for _ in range(2)))
    taking.start()
    await asyncio.wait_for(second, 5)
    taking.join(5)
    assert got == [1, 2]


async def test_inbox_get_times_out_with_none_and_commands_pass_a_full_one() -> None:
    inbox: Inbox[str] = Inbox(max_bytes=1)
    assert inbox.get(timeout=0.001) is None
    inbox.put_nowait("resize")
    assert inbox.get(timeout=1) == "resize"


async def test_inbox_survives_many_fillings() -> None:
    inbox: Inbox[int] = Inbox(max_bytes=3)
    count = 2000
    got: list[int] = []

    def take() -> None:
        while len(got) < count:
            item = inbox.get(timeout=5)
            assert item is not None
            got.append(item)

    thread = threading.Thread(target=take)
    thread.start()
    for n in range(count):
        await asyncio.wait_for(inbox.put(n, 1 + n % 4), 5)
    thread.join(5)
    assert got == list(range(count))


async def test_outbox_keeps_order_and_blocks_the_thread_when_full() -> None:
    outbox: Outbox[int] = Outbox(max_bytes=3)
    count = 2000

    def give() -> None:
        for n in range(count):
            outbox.put(n, 1 + n % 4)

    thread = threading.Thread(target=give)
    thread.start()
    got = [await asyncio.wait_for(outbox.get(), 5) for _ in range(count)]
    thread.join(5)
    assert got == list(range(count))


async def test_closing_the_outbox_frees_a_blocked_thread() -> None:
    outbox: Outbox[int] = Outbox(max_bytes=1)
    outbox.put(1, 5)
    raised: list[type[BaseException]] = []

    def give() -> None:
        try:
            outbox.put(2, 5)
        except Closed as error:
            raised.append(type(error))

    thread = threading.Thread(target=give)
    thread.start()
    outbox.close()
    thread.join(5)
    assert raised == [Closed]


def test_handover_ends_after_what_was_given() -> None:
    handover: Handover[int] = Handover(2)
    handover.put(1)
    handover.put(2)
    handover.end()
    assert [handover.get(), handover.get(), handover.get()] == [1, 2, None]


def test_closing_the_handover_frees_the_giving_side() -> None:
    handover: Handover[int] = Handover(1)
    handover.put(1)
    raised = threading.Event()

    def give() -> None:
        with pytest.raises(Closed):
            handover.put(2)
        raised.set()

    thread = threading.Thread(target=give)
    thread.start()
    handover.close()
    thread.join(5)
    assert raised.is_set()
