"""One sender's frames on their way to whichever worker serves the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from comfytrickle.errors import Conflict
from comfytrickle.frame_message import Header, Kind
from comfytrickle.messages import FramesRefused
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import RingClosed
from control_plane.pictures.inlet import Inlet, Inlets, Verdict
from tests.support.streams import until
from tests.support.streams_of_rings import RingStream

HEADER = Header(Kind.JPEG, 0, 1, 64, 48)
MESSAGE = HEADER.pack() + b"picture"
SLOTS = 4


@pytest.fixture
async def inlets() -> AsyncIterator[Inlets]:
    all_of_them = Inlets()
    yield all_of_them
    await all_of_them.close()


async def open_inlet(at: RingStream, inlets: Inlets) -> Inlet:
    inlet = inlets.of(at.stream)
    await until(lambda: inlet._writer is not None, "a worker")
    return inlet


async def test_frames_reach_the_worker_as_they_are(inlets: Inlets) -> None:
    at = RingStream()
    reader = RingReader(at.serve().inlet)
    inlet = await open_inlet(at, inlets)
    for _ in range(10):
        assert await inlet.put(HEADER, MESSAGE) == Verdict(None, 1)
        frame = reader.read(20)
        assert frame is not None and frame.data == MESSAGE
    reader.close()
    at.end()


async def test_a_busy_worker_drops_the_new_ones_and_says_how_many_wait(inlets: Inlets) -> None:
    at = RingStream()
    at.serve()
    inlet = await open_inlet(at, inlets)
    verdicts = [await inlet.put(HEADER, MESSAGE) for _ in range(SLOTS + 2)]
    assert verdicts == [Verdict(None, n + 1) for n in range(SLOTS)] + [Verdict("busy", SLOTS)] * 2
    at.end()


async def test_drop_never_waits_for_room(inlets: Inlets) -> None:
    at = RingStream(drop="never")
    worker = at.serve()
    inlet = await open_inlet(at, inlets)
    reader = RingReader(worker.inlet)
    for _ in range(SLOTS):
        await inlet.put(HEADER, MESSAGE)
    waiting = asyncio.create_task(inlet.put(HEADER, MESSAGE))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    reader.read(20)
    assert await asyncio.wait_for(waiting, 20) == Verdict(None, SLOTS)
    waiting = asyncio.create_task(inlet.put(HEADER, MESSAGE))
    await asyncio.sleep(0.05)
    reader.close()
    await at.fall()  # it waits for room that will never be
    assert (await asyncio.wait_for(waiting, 20)).reason == "restarting"
    waiting = asyncio.create_task(inlet.put(HEADER, MESSAGE))  # and now for a worker
    await asyncio.sleep(0.05)
    assert not waiting.done()
    at.serve()
    assert await asyncio.wait_for(waiting, 20) == Verdict(None, 1)
    waiting.cancel()
    at.end()


async def test_before_and_between_workers(inlets: Inlets) -> None:
    at = RingStream()
    inlet = inlets.of(at.stream)
    assert await inlet.put(HEADER, MESSAGE) == Verdict("loading", 0)
    at.serve()
    await until(lambda: inlet._writer is not None, "a worker")
    assert (await inlet.put(HEADER, MESSAGE)).reason is None
    await at.fall()
    await until(lambda: inlet._writer is None, "its end")
    assert await inlet.put(HEADER, MESSAGE) == Verdict("restarting", 0)
    reader = RingReader(at.serve().inlet)
    await until(lambda: inlet._writer is not None, "the next one")
    assert (await inlet.put(HEADER, MESSAGE)).reason is None
    assert reader.read(20) is not None
    reader.close()
    at.end()
    await until(lambda: inlet._task.done(), "the stream's end")
    assert (await inlet.put(HEADER, MESSAGE)).reason == "ending"


async def test_the_end_comes_behind_the_frames(inlets: Inlets) -> None:
    at = RingStream()
    reader = RingReader(at.serve().inlet)
    inlet = await open_inlet(at, inlets)
    with inlet.sending(print):
        await inlet.put(HEADER, MESSAGE)
        inlet.end()
        assert (await inlet.put(HEADER, MESSAGE)).reason is not None
    assert reader.read(20) is not None
    with pytest.raises(RingClosed):
        reader.read(20)
    with pytest.raises(Conflict, match="at its end"), inlet.sending(print):
        pass
    reader.close()
    await at.fall()  # before it was through: the next one is told as well
    reader = RingReader(at.serve().inlet)
    with pytest.raises(RingClosed):
        await asyncio.to_thread(reader.read, 20)
    reader.close()
    at.end()


async def test_a_senders_leaving_is_no_end(inlets: Inlets) -> None:
    at = RingStream()
    reader = RingReader(at.serve().inlet)
    inlet = await open_inlet(at, inlets)
    for _ in range(2):
        with inlet.sending(print):
            await inlet.put(HEADER, MESSAGE)
        assert reader.read(20) is not None
    assert reader.read(0.05) is None
    reader.close()
    at.end()


async def test_one_at_a_time_hears_of_what_was_refused(inlets: Inlets) -> None:
    at = RingStream()
    inlet = inlets.of(at.stream)
    heard: list[FramesRefused] = []
    with inlet.sending(heard.append):
        with pytest.raises(Conflict, match="has a sender"), inlet.sending(print):
            pass
        at.stream.on_message(FramesRefused([4], 1, "rubbish"))
    at.stream.on_message(FramesRefused([5], 1, "rubbish"))
    assert heard == [FramesRefused([4], 1, "rubbish")]
    with inlet.sending(print):
        pass
    at.end()


async def test_who_takes_none(inlets: Inlets) -> None:
    channel = RingStream(subscribe_url="http://h/in")
    with pytest.raises(Conflict, match="source channel"):
        inlets.of(channel.stream)
    channel.end()
    at = RingStream()
    assert inlets.of(at.stream) is inlets.of(at.stream)
    at.end()
    with pytest.raises(Conflict, match="exited"):
        inlets.of(at.stream)
