"""How a wait for a frame, or for room, ends."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable

import pytest

from comfytrickle.shm.layout import Policy
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Ring, RingClosed
from comfytrickle.shm.writer import RingFull, RingWriter
from tests.support.ring_frames import bytes_of, info_of, whole
from tests.support.rings import (  # noqa: F401 - fixtures are used by their names
    CAPACITY,
    PATIENCE_S,
    put,
    reader_fixture,
    ring_fixture,
    writer_fixture,
)


def test_a_full_queue_makes_its_writer_wait_until_a_frame_is_taken() -> None:
    ring = Ring.create(CAPACITY, 2, Policy.BLOCK)
    writer, reader = RingWriter(ring), RingReader(ring)
    put(writer)
    put(writer)
    assert not writer.has_room
    assert not writer.write(info_of(2), bytes_of(2, 10), timeout=0.01)
    with pytest.raises(RingFull), writer.fill(info_of(2), 10):
        pytest.fail("not reached")
    thread = threading.Thread(target=put, args=(writer,))
    thread.start()
    seen = []
    while len(seen) < 3:
        frame = reader.read(timeout=PATIENCE_S)
        assert frame is not None and whole(frame.header, frame.data)
        seen.append(frame.header.sequence)
    thread.join()
    assert seen == [0, 1, 2] and ring.lost == 0
    reader.close()
    writer.close()
    ring.close()


@pytest.mark.parametrize("end", ["stopped here", "closed there"])
def test_a_thread_that_waits_for_a_frame_is_released(ring: Ring, end: str) -> None:
    writer, reader = RingWriter(ring), RingReader(ring)
    put(writer)
    got: list[object] = []

    def run() -> None:
        try:
            while True:
                got.append(reader.read())
        except RingClosed as error:
            got.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    if end == "stopped here":
        deadline = time.monotonic() + PATIENCE_S
        while not got and time.monotonic() < deadline:
            time.sleep(0.001)
        reader.stop()
        reason = "the frame queue was closed here"
    else:
        put(writer)
        writer.close()
        reason = "the frame queue's writer is gone, and all is read"
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert got.pop() == reason
    assert len(got) == (1 if end == "stopped here" else 2)
    reader.close()
    writer.close()


@pytest.mark.parametrize("end", ["stopped here", "closed there"])
def test_a_thread_that_waits_for_room_is_released(end: str) -> None:
    ring = Ring.create(CAPACITY, 2, Policy.BLOCK)
    writer, reader = RingWriter(ring), RingReader(ring)
    put(writer)
    put(writer)
    told = []

    def run() -> None:
        with pytest.raises(RingClosed) as caught:
            writer.write(info_of(2), bytes(1))
        told.append(str(caught.value))

    thread = threading.Thread(target=run)
    thread.start()
    (writer if end == "stopped here" else reader).stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert told == [
        "the frame queue was closed here"
        if end == "stopped here"
        else "the frame queue's reader is gone, and it is full"
    ]
    # Others go on with what is there.
    again = RingReader(ring)
    first = again.read(timeout=0)
    assert first is not None and first.header.sequence == 0
    other = RingWriter(ring)
    assert put(other) == 2
    for each in (again, other, writer, reader):
        each.close()
    ring.close()


async def test_in_an_event_loop_nothing_is_lost_to_a_cancelled_wait(
    writer: RingWriter, reader: RingReader
) -> None:
    waiting = asyncio.create_task(reader.receive())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    waiting = asyncio.create_task(reader.receive())
    await asyncio.sleep(0)
    await writer.send(info_of(0), bytes_of(0, 700))
    frame = await asyncio.wait_for(waiting, PATIENCE_S)
    assert whole(frame.header, frame.data)


async def test_in_an_event_loop_a_full_queue_holds_its_writer() -> None:
    ring = Ring.create(CAPACITY, 2, Policy.BLOCK)
    writer, reader = RingWriter(ring), RingReader(ring)

    async def send_all() -> None:
        for n in range(20):
            await writer.send(info_of(n), bytes_of(n, 100 * n))
        writer.close()

    sending = asyncio.create_task(send_all())
    buffer = memoryview(bytearray(CAPACITY))
    seen = []
    with pytest.raises(RingClosed):
        while True:
            header = await asyncio.wait_for(reader.receive_into(buffer), PATIENCE_S)
            assert whole(header, buffer[: header.length])
            seen.append(header.sequence)
    await sending
    assert seen == list(range(20))
    reader.close()
    ring.close()


async def test_both_ends_of_one_peer_can_be_watched_in_one_loop() -> None:
    """A pidfd stands for both queues of a worker; a loop keeps one callback a descriptor."""
    one, other = Ring.create(100), Ring.create(100)
    there, here = os.pipe()
    readers = [RingReader(one, peer=there), RingReader(other, peer=there)]
    tasks = [asyncio.create_task(reader.receive()) for reader in readers]
    await asyncio.sleep(0)
    os.close(here)  # as when the peer dies
    for task in tasks:
        with pytest.raises(RingClosed):
            await asyncio.wait_for(task, PATIENCE_S)
    os.close(there)
    for reader in readers:
        reader.close()
    one.close()
    other.close()


def test_after_a_dead_peer_another_one_is_watched(ring: Ring, reader: RingReader) -> None:
    there, here = os.pipe()
    reader.watch(there)
    os.close(here)
    with pytest.raises(RingClosed):
        reader.read()
    os.close(there)
    there, here = os.pipe()
    reader.watch(there)
    assert reader.read(timeout=0) is None
    writer = RingWriter(ring)
    put(writer)
    os.close(here)
    frame = reader.read()  # what it wrote before it went is read first
    assert frame is not None and whole(frame.header, frame.data)
    with pytest.raises(RingClosed):
        reader.read()
    os.close(there)
    writer.close()


def test_what_a_peer_did_just_before_its_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the look at the slots, and before the look at the peer."""
    ring = Ring.create(CAPACITY, 2, Policy.BLOCK)
    writer, reader = RingWriter(ring), RingReader(ring)

    def last_deed(deed: Callable[[], object]) -> Callable[[], bool]:
        deeds = [deed]

        def gone() -> bool:
            if deeds:
                deeds.pop()()
            return True

        return gone

    monkeypatch.setattr(reader._waiting, "peer_gone", last_deed(lambda: put(writer)))
    frame = reader.read()
    assert frame is not None and whole(frame.header, frame.data)
    with pytest.raises(RingClosed):
        reader.read()
    put(writer)
    put(writer)
    monkeypatch.setattr(writer._waiting, "peer_gone", last_deed(lambda: reader.read(timeout=0)))
    assert put(writer) == 3
    with pytest.raises(RingClosed):
        put(writer)
    reader.close()
    writer.close()
    ring.close()
