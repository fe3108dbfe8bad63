"""The worker's end of the outlet: nothing without viewers, the newest frames with them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from comfytrickle.messages import Watch
from comfytrickle.shared import Shared, attach
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Descriptors
from comfytrickle.testsrc import counter
from tests.support.frame_sockets import Shown, picture
from workers.ends import outlet as module
from workers.ends.outlet import Outlet
from workers.media.colour import untagged
from workers.media.frames import Frame

PATIENCE_S = 20.0


class Watched:
    def __init__(self) -> None:
        self.shared = Shared.create()
        self.outlet = Outlet(Descriptors(*map(os.dup, self.shared.outlet)))
        self._ring = attach(self.shared.outlet)
        self._reader = RingReader(self._ring)

    def next(self, patience: float = PATIENCE_S) -> Shown:
        frame = self._reader.read(patience)
        assert frame is not None, "nothing was shown"
        return Shown.read(frame.data)

    def is_silent(self) -> bool:
        return self._reader.read(0.2) is None

    def close(self) -> None:
        self.outlet.close()
        self._reader.close()
        self._ring.close()
        self.shared.close()


def frame(n: int, width: int = 128, height: int = 96) -> Frame:
    return Frame(picture(n, width, height), n * 3000, untagged(height), 0.0, sent=n / 4)


def inverted(source: Frame) -> Frame:
    return replace(source, rgb=255 - source.rgb)


def outlet_threads() -> int:
    return sum(thread.name == "outlet" for thread in threading.enumerate())


@pytest.fixture
def watched() -> Iterator[Watched]:
    one = Watched()
    yield one
    one.close()


def test_without_viewers_there_is_nothing(watched: Watched) -> None:
    outlet = watched.outlet
    assert not outlet.watches_input and not outlet.watches_output
    assert outlet_threads() == 0
    outlet.watch(Watch())
    assert not outlet.watches_input and not outlet.watches_output
    assert outlet_threads() == 0 and watched.is_silent()


def test_each_side_is_shown_when_it_is_wanted(watched: Watched) -> None:
    outlet, source = watched.outlet, frame(7)
    outlet.watch(Watch(["in"], fps=60))
    assert outlet.watches_input and not outlet.watches_output
    outlet.offer_input(source)
    shown = watched.next()
    assert (shown.side, shown.counter, shown.flags) == (0, 7, 0)
    assert (shown.seq, shown.pts, shown.at, shown.size) == (0, 21_000, 1.75, (128, 96))

    outlet.watch(Watch(["out"], fps=60))
    assert outlet.watches_output and not outlet.watches_input
    outlet.offer_output(source, inverted(source), marked=True)
    shown = watched.next()
    assert (shown.side, shown.counter, shown.flags) == (1, 7, 1)
    assert counter.is_inverted(shown.rgb) and not counter.is_inverted(source.rgb)

    outlet.watch(Watch(["both"], fps=60, width=64))
    assert outlet.watches_output and not outlet.watches_input
    outlet.offer_output(source, inverted(source), marked=False)
    shown = watched.next()
    assert (shown.side, shown.flags, shown.size) == (2, 0, (128, 48))
    left, right = shown.rgb[:, :64], shown.rgb[:, 64:]
    assert np.abs(left.astype(int) + right - 255).mean() < 12

    outlet.watch(Watch())
    outlet.offer_output(source, source, marked=False)
    assert watched.is_silent()
    assert outlet_threads() == 1


def test_both_of_different_sizes(watched: Watched) -> None:
    watched.outlet.watch(Watch(["both"], fps=60))
    watched.outlet.offer_output(frame(3, 64, 48), frame(3, 128, 96), marked=False)
    shown = watched.next()
    assert shown.size == (256, 96)
    assert counter.read(shown.rgb[:, :128]) == counter.read(shown.rgb[:, 128:]) == 3


def test_all_sides_at_once(watched: Watched) -> None:
    watched.outlet.watch(Watch(["in", "out", "both"], fps=60))
    watched.outlet.offer_input(frame(5))
    watched.outlet.offer_output(frame(5), frame(5), marked=False)
    assert sorted(watched.next().side for _ in range(3)) == [0, 1, 2]


def test_the_newest_frame_wins_and_the_last_one_is_shown(watched: Watched) -> None:
    watched.outlet.watch(Watch(["in"], fps=2))
    watched.outlet.offer_input(frame(0))
    assert watched.next().counter == 0
    for n in range(1, 40):  # at once: half a second has to pass
        watched.outlet.offer_input(frame(n))
    shown = watched.next()
    assert (shown.counter, shown.seq) == (39, 39), "what was passed over is counted"
    assert watched.is_silent()


def test_what_waits_is_let_go(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame's memory is not held for longer than it is looked at."""
    watched.outlet.watch(Watch(["in"], fps=60))
    held = frame(1)
    memory = held.rgb = np.array(held.rgb)
    references = _references(memory)
    watched.outlet.offer_input(held)
    watched.next()
    del held
    deadline = threading.Event()
    for _ in range(200):
        if _references(memory) < references:
            break
        deadline.wait(0.05)
    assert _references(memory) < references


def _references(thing: object) -> int:
    import sys

    return sys.getrefcount(thing)


def test_a_picture_that_cannot_be_shown_harms_no_other(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encode = module.JpegEncoder.encode

    def fails_once(self: module.JpegEncoder, *args: object) -> bytes:
        monkeypatch.setattr(module.JpegEncoder, "encode", encode)
        raise module.ComfytrickleError("no room")

    monkeypatch.setattr(module.JpegEncoder, "encode", fails_once)
    watched.outlet.watch(Watch(["in"], fps=60))
    watched.outlet.offer_input(frame(1))
    for _ in range(100):
        if "no room" in caplog.text:
            break
        threading.Event().wait(0.05)
    assert "cannot be shown: no room" in caplog.text
    watched.outlet.offer_input(frame(2))
    assert watched.next().counter == 2


def test_offers_do_not_wait_for_a_slow_encoder(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, go, entered = module.JpegEncoder.encode, threading.Event(), threading.Event()

    def slow(self: module.JpegEncoder, *args: object) -> bytes:
        entered.set()
        assert go.wait(PATIENCE_S)
        return encode(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(module.JpegEncoder, "encode", slow)
    watched.outlet.watch(Watch(["in"], fps=60))
    watched.outlet.offer_input(frame(0))
    assert entered.wait(PATIENCE_S)
    for n in range(1, 200):
        watched.outlet.offer_input(frame(n))  # would hang here
    go.set()
    assert [watched.next().counter, watched.next().counter] == [0, 199]


def test_it_ends_with_its_stream_and_can_be_ended_again() -> None:
    one = Watched()
    one.outlet.watch(Watch(["in"]))
    assert outlet_threads() == 1
    one.outlet.close()
    assert outlet_threads() == 0
    one.outlet.offer_input(frame(1))
    one.outlet.watch(Watch(["in"]))
    assert outlet_threads() == 0
    one.close()
    nobody = Outlet(None)  # a stage by itself
    nobody.watch(Watch(["in", "out"]))
    assert not nobody.watches_input and not nobody.watches_output
    nobody.close()
