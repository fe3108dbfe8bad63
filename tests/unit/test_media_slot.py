"""The slot between two real threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from workers.media.frames import Colour, Frame
from workers.media.pacing import MAX_FRAMES
from workers.media.slot import Slot

SD = Colour(matrix=6, full_range=False)
TINY = np.zeros((2, 2, 3), np.uint8)
DEADLINE = 20.0


def frame(number: int) -> Frame:
    return Frame(rgb=TINY, pts=number * 3000, colour=SD, arrived=0.0)


def in_thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def finish(thread: threading.Thread) -> None:
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_frames_pass_in_order_and_the_end_drains() -> None:
    slot = Slot()
    for number in range(20):
        assert slot.put(frame(number))
    slot.close()
    slot.close()
    assert slot.closed and not slot.put(frame(20))
    got = []
    while (one := slot.take()) is not None:
        got.append(one.pts // 3000)
    assert got == list(range(20))
    assert slot.take() is None
    assert slot.dropped() == {"latest": 0, "framerate": 0}


def test_take_waits_for_a_put() -> None:
    slot = Slot()
    got: list[Frame | None] = []
    thread = in_thread(lambda: got.append(slot.take()))
    assert slot.put(frame(3))
    finish(thread)
    assert got[0] is not None and got[0].pts == 9000


@pytest.mark.parametrize("how", ["close", "poke"])
def test_a_waiting_take_is_woken(how: str) -> None:
    slot = Slot()
    got: list[Frame | None] = []
    thread = in_thread(lambda: got.append(slot.take()))
    getattr(slot, how)()
    finish(thread)
    assert got == [None]
    assert slot.closed == (how == "close")


def test_a_poke_is_heard_once_and_before_frames() -> None:
    slot = Slot()
    slot.put(frame(1))
    slot.poke()
    slot.poke()
    assert slot.take() is None
    one = slot.take()
    assert one is not None and one.pts == 3000


def test_never_blocks_the_producer_until_there_is_room() -> None:
    slot = Slot("never")
    done = threading.Event()

    def produce() -> None:
        for number in range(100):
            assert slot.put(frame(number))
        done.set()

    thread = in_thread(produce)
    deadline = time.monotonic() + DEADLINE
    while slot.waiting < 8:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert not done.is_set()
    assert not slot.put(frame(999), timeout=0.01)
    got = []
    for _ in range(100):
        one = slot.take()
        assert one is not None
        got.append(one.pts // 3000)
    finish(thread)
    assert got == list(range(100))
    assert slot.dropped() == {"latest": 0, "framerate": 0}


def test_a_consumer_that_keeps_up_gets_a_burst_that_is_longer_than_the_slot() -> None:
    """As after a restart, when seconds of pictures are there at once."""
    slot = Slot()
    got: list[int] = []

    def consume() -> None:
        while (one := slot.take()) is not None:
            got.append(one.pts // 3000)
            time.sleep(0.001)

    thread = in_thread(consume)
    for number in range(400):
        slot.put(frame(number))
    slot.close()
    finish(thread)
    assert got == list(range(400)) and slot.dropped()["latest"] == 0


def test_a_consumer_that_is_stuck_holds_nobody_up() -> None:
    slot = Slot()
    for number in range(10):
        slot.put(frame(number))
        slot.take()
    begun = time.monotonic()
    for number in range(10, 510):
        assert slot.put(frame(number))
    assert time.monotonic() - begun < 5.0  # 500 x _ROOM_S would be minutes
    assert slot.dropped()["latest"] == 500 - MAX_FRAMES


def test_close_frees_a_blocked_producer() -> None:
    slot = Slot("never")
    for number in range(8):
        assert slot.put(frame(number))
    answers: list[bool] = []
    thread = in_thread(lambda: answers.append(slot.put(frame(8))))
    slot.close()
    finish(thread)
    assert answers == [False]


def test_a_cap_can_change_on_the_way() -> None:
    slot = Slot(max_framerate=15)
    for number in range(10):
        assert slot.put(frame(number))
    assert slot.dropped()["framerate"] == 5
    slot.set_max_framerate(None)
    for number in range(10, 20):
        slot.put(frame(number))
    assert slot.dropped()["framerate"] == 5 and slot.waiting == 15


def test_a_slow_consumer_skips_and_everything_is_accounted_for() -> None:
    slot = Slot()
    got = []
    taken = threading.Semaphore(0)

    def consume() -> None:
        while (one := slot.take()) is not None:
            got.append(one.pts // 3000)
            taken.release()
            time.sleep(0.05)  # the work: longer than the 33 ms between timestamps

    thread = in_thread(consume)
    for number in range(60):
        slot.put(frame(number))
        if number % 3 == 0:
            assert taken.acquire(timeout=DEADLINE)
    slot.close()
    finish(thread)
    assert got == sorted(set(got))
    assert len(got) + slot.dropped()["latest"] == 60
    assert slot.dropped()["latest"] >= 15
    assert got[-1] == 59  # the last frame always comes through
