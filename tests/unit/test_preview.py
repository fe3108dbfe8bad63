"""Several viewers on one outlet: what is asked of the worker, and who gets what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from comfytrickle.frame_message import HEADER_BYTES, Header, Kind, Side, unpack
from comfytrickle.messages import Watch
from comfytrickle.shm.frames import FrameInfo, PixelFormat
from comfytrickle.shm.writer import RingWriter
from control_plane.pictures import preview as module
from control_plane.pictures.preview import NOBODY, Preview, Previews, Viewer, Wish, watch_for
from tests.support.streams import until
from tests.support.streams_of_rings import RingStream, RingWorker

INFO = FrameInfo(0, 64, 48, PixelFormat.MESSAGE)


def show(writer: RingWriter, seq: int, side: int = Side.OUT, payload: bytes = b"x") -> None:
    writer.write(INFO, Header(Kind.JPEG, side, seq, 64, 48).pack() + payload)


async def seq_of(viewer: Viewer) -> int:
    message = await viewer.next(20)
    assert message is not None
    return unpack(message).seq


@pytest.fixture
async def at() -> AsyncIterator[RingStream]:
    stream = RingStream()
    yield stream
    stream.end()


@pytest.fixture
async def previews() -> AsyncIterator[Previews]:
    all_of_them = Previews()
    yield all_of_them
    await all_of_them.close()


def watched(worker: RingWorker, watch: Watch) -> Callable[[], bool]:
    return lambda: bool(worker.watches) and worker.watches[-1] == watch


def test_what_serves_everybody() -> None:
    assert watch_for([]) == NOBODY == Watch()
    one = Wish(Side.IN, fps=5, width=320, quality=50)
    assert watch_for([one]) == Watch(["in"], 5, 320, 50)
    other = Wish(Side.BOTH, fps=2, width=640, quality=70)
    assert watch_for([one, other, one]) == Watch(["both", "in"], 5, 640, 70)
    assert watch_for([one, other, Wish()]) == Watch(["both", "in", "out"], 15, None, 90)


async def test_viewers_share_one_watch(at: RingStream, previews: Previews) -> None:
    worker = at.serve()
    shared, first = previews.join(at.stream, Wish(fps=10, width=100))
    await until(watched(worker, Watch(["out"], 10, 100)), "the first watch")
    same, second = previews.join(at.stream, Wish(Side.IN, fps=30, width=50))
    assert same is shared
    assert worker.watches[-1] == Watch(["in", "out"], 30, 100)
    _, third = previews.join(at.stream, Wish(Side.IN, fps=1, width=50))
    assert len(worker.watches) == 2, "it changes nothing"
    shared.leave(second)
    assert worker.watches[-1] == Watch(["in", "out"], 10, 100)
    shared.leave(first)
    assert worker.watches[-1] == Watch(["in"], 1, 50)
    shared.leave(third)
    assert len(worker.watches) == 4, "the last one's lingers"


async def test_each_gets_its_side_and_the_newest(at: RingStream, previews: Previews) -> None:
    worker = at.serve()
    _, out = previews.join(at.stream, Wish(fps=60))
    _, idle = previews.join(at.stream, Wish(fps=60))
    _, source = previews.join(at.stream, Wish(Side.IN, fps=60))
    await until(lambda: worker.watches, "a watch")
    writer = RingWriter(worker.outlet)
    for seq in range(5):
        show(writer, seq)
        assert await seq_of(out) == seq
    show(writer, 7, Side.IN, b"other")
    message = await source.next(20)
    assert message is not None and message[HEADER_BYTES:] == b"other"
    assert await seq_of(idle) == 4, "what it did not ask for in time is gone"
    assert await out.next(0.05) is None and await idle.next(0.05) is None
    writer.close()


async def test_a_viewers_own_rate(at: RingStream, previews: Previews) -> None:
    worker = at.serve()
    _, slow = previews.join(at.stream, Wish(fps=5))
    _, quick = previews.join(at.stream, Wish(fps=60))
    await until(lambda: worker.watches, "a watch")
    writer = RingWriter(worker.outlet)
    got: list[int] = []

    async def collect() -> None:
        while True:
            got.append(await seq_of(slow))

    collecting = asyncio.create_task(collect())
    for seq in range(30):
        show(writer, seq)
        assert await seq_of(quick) == seq
        await asyncio.sleep(0.01)
    await until(lambda: got[-1:] == [29], "the last one")
    assert 2 <= len(got) < 15 and got == sorted(got)
    collecting.cancel()
    writer.close()


async def test_what_an_earlier_viewer_left_in_the_queue_is_not_shown(
    at: RingStream, previews: Previews
) -> None:
    worker = at.serve()
    writer = RingWriter(worker.outlet)
    for seq in range(3):
        show(writer, seq)
    _, viewer = previews.join(at.stream, Wish(fps=60))
    await until(lambda: worker.watches, "a watch")
    show(writer, 3)
    assert await seq_of(viewer) == 3
    _, later = previews.join(at.stream, Wish(fps=60))
    assert await seq_of(later) == 3, "one that comes to others gets their last picture at once"
    writer.close()


async def test_numbers_go_on_over_a_restart(at: RingStream, previews: Previews) -> None:
    _, viewer = previews.join(at.stream, Wish(fps=60))
    seen = []
    for _ in range(3):
        worker = at.serve()
        await until(watched(worker, Watch(["out"], 60)), "told again")
        writer = RingWriter(worker.outlet)
        for seq in (0, 1, 5):
            show(writer, seq)
            seen.append(await seq_of(viewer))
        writer.close()
        await at.fall()
    assert seen == [0, 1, 5, 6, 7, 11, 12, 13, 17]
    assert await viewer.next(0.1) is None and not viewer.over


async def test_foreign_bytes_in_the_ring_hurt_nobody(
    at: RingStream, previews: Previews, caplog: pytest.LogCaptureFixture
) -> None:
    worker = at.serve()
    _, viewer = previews.join(at.stream, Wish(fps=60))
    await until(lambda: worker.watches, "a watch")
    writer = RingWriter(worker.outlet)
    for data in (b"", b"CTF1", b"x" * 100, Header(Kind.JPEG, 9, 0, 1, 1).pack()):
        writer.write(INFO, data)
    show(writer, 1)
    assert await seq_of(viewer) == 1
    assert "outlet" in caplog.text
    writer.close()


async def test_a_moment_after_the_last_viewer_the_worker_is_left_alone(
    at: RingStream, previews: Previews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER_S", 0.2)
    worker = at.serve()
    shared, viewer = previews.join(at.stream, Wish())
    await until(lambda: worker.watches, "a watch")
    shared.leave(viewer)
    again, viewer = previews.join(at.stream, Wish())
    assert again is shared and worker.watches == [Watch(["out"])], "back in time"
    await asyncio.sleep(0.4)
    assert worker.watches == [Watch(["out"])]
    shared.leave(viewer)
    await until(watched(worker, NOBODY), "nobody watches")
    later, viewer = previews.join(at.stream, Wish())
    assert later is not shared
    await until(watched(worker, Watch(["out"])), "somebody does again")
    later.leave(viewer)


async def test_the_streams_end(at: RingStream, previews: Previews) -> None:
    at.serve()
    _, viewer = previews.join(at.stream, Wish())
    waiting = asyncio.create_task(viewer.next())
    await asyncio.sleep(0)
    at.end()
    assert await asyncio.wait_for(waiting, 20) is None and viewer.over
    _, late = previews.join(at.stream, Wish())
    assert await late.next(20) is None and late.over


async def test_closing_lets_viewers_go(at: RingStream) -> None:
    left = []
    at.serve()
    shared = Preview(at.stream, lambda _: left.append(True))
    viewer = shared.join(Wish())
    await shared.close()
    assert viewer.over and left == [True]


async def test_a_worker_that_shows_nothing_more_is_waited_for(
    at: RingStream, previews: Previews
) -> None:
    """It is about to end: until it has, the loop belongs to others."""
    worker = at.serve()
    _, viewer = previews.join(at.stream, Wish(fps=60))
    await until(lambda: worker.watches, "a watch")
    writer = RingWriter(worker.outlet)
    show(writer, 1)
    assert await seq_of(viewer) == 1
    writer.close()
    assert await viewer.next(0.2) is None
    await at.fall()
    writer = RingWriter(at.serve().outlet)
    await until(lambda: at.worker.watches, "told again")
    show(writer, 0)
    assert await seq_of(viewer) == 2
    writer.close()
