"""A frame queue's throughput and latency, and their floors. See scripts/bench_ring.py.

A frame crosses by two copies, one in and one out, by two processes at the same time. So that is the
floor: the same two processes copy into and out of the same slots at the same time, in the same
order, and never wait for each other nor say anything.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import select
import statistics
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import forked, ring_kills
from comfytrickle.shm.frames import FrameInfo, PixelFormat
from comfytrickle.shm.layout import Policy
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Ring
from comfytrickle.shm.writer import RingWriter

SIZES = ((512, 512), (1920, 1080))
_SLOTS = 4
_ROUNDS = 5
_LATENCIES = 400
_GAP_S = 0.002


def _info(width: int, height: int) -> FrameInfo:
    return FrameInfo(0, width, height, PixelFormat.RGB24, stride=width * 3)


def _together(write: Callable[[], float], read: Callable[[], float]) -> tuple[float, float]:
    """Run both in a process each, beginning at the same time; the seconds that each took."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    gate = os.eventfd(0, os.EFD_SEMAPHORE)

    def child(place: int, body: Callable[[], float]) -> Callable[[], None]:
        def go() -> None:
            os.eventfd_read(gate)
            struct.pack_into("d", page, place * 8, body())

        return go

    pids = [forked.fork(child(0, write)), forked.fork(child(1, read))]
    os.eventfd_write(gate, 2)
    forked.join(*pids)
    seconds = struct.unpack_from("dd", page)
    os.close(gate)
    page.close()
    return seconds


def _copies(ring: Ring, size: int, count: int) -> float:
    """Frames a second of the bare copies, the slower of the two sides."""

    def write() -> float:
        mine, source = Ring(ring.duplicate()), memoryview(bytearray(os.urandom(size)))
        views = [mine.payload(n, size) for n in range(_SLOTS)]
        return _timed(count, lambda n: views[n % _SLOTS].__setitem__(slice(None), source))

    def read() -> float:
        mine, target = Ring(ring.duplicate()), memoryview(bytearray(size))
        views = [mine.payload(n, size) for n in range(_SLOTS)]
        return _timed(count, lambda n: target.__setitem__(slice(None), views[n % _SLOTS]))

    return count / max(_together(write, read))


def _timed(count: int, step: Callable[[int], object]) -> float:
    for n in range(_SLOTS * 2):  # pages are mapped by then
        step(n)
    begun = time.perf_counter()
    for n in range(count):
        step(n)
    return time.perf_counter() - begun


def _frames(ring: Ring, info: FrameInfo, size: int, count: int) -> float:
    """Frames a second through the queue, every one of them read."""

    def write() -> float:
        writer, source = RingWriter(Ring(ring.duplicate())), bytearray(os.urandom(size))
        return _timed(count, lambda _: writer.write(info, source))

    def read() -> float:
        reader, target = RingReader(Ring(ring.duplicate())), bytearray(size)
        return _timed(count, lambda _: reader.read_into(target))

    return count / max(_together(write, read))


def _one_copy(size: int, count: int) -> float:
    source, target = memoryview(bytearray(os.urandom(size))), memoryview(bytearray(size))
    return count / _timed(count, lambda _: target.__setitem__(slice(None), source))


def throughput(width: int, height: int, seconds: float) -> dict[str, Any]:
    """Rounds of floor and ours in turns; medians, and the median of the rounds' ratios."""
    info, size = _info(width, height), width * height * 3
    ring = Ring.create(size, _SLOTS, Policy.BLOCK)
    one = _one_copy(size, 50)
    count = max(50, int(one * seconds / _ROUNDS / 4))
    floors, ours = [], []
    for _ in range(_ROUNDS):
        floors.append(_copies(ring, size, count))
        ours.append(_frames(ring, info, size, count))
    ring.close()
    floor, mine = statistics.median(floors), statistics.median(ours)
    return {
        "frame_bytes": size,
        "frames": count * _ROUNDS,
        "floor_fps": round(floor, 1),
        "fps": round(mine, 1),
        "ratio": round(statistics.median(b / a for a, b in zip(floors, ours, strict=True)), 3),
        "floor_gb_s": round(floor * size / 1e9, 2),
        "gb_s": round(mine * size / 1e9, 2),
        "one_copy_alone_gb_s": round(one * size / 1e9, 2),
    }


def _percentiles(nanoseconds: list[int]) -> dict[str, float]:
    cuts = statistics.quantiles(nanoseconds, n=100)
    return {"p50_us": round(cuts[49] / 1000, 1), "p99_us": round(cuts[98] / 1000, 1)}


def latency(width: int, height: int) -> dict[str, float]:
    """From the commit in one process to the copy's end in the other, which slept."""
    info, size = _info(width, height), width * height * 3
    ring = Ring.create(size, _SLOTS, Policy.BLOCK)

    def write() -> None:
        writer, source = RingWriter(Ring(ring.duplicate())), bytearray(os.urandom(size))
        for _ in range(_LATENCIES + _SLOTS):
            writer.write(info, source)
            time.sleep(_GAP_S)

    pid = forked.fork(write)
    reader, target, took = RingReader(ring), bytearray(size), []
    for _ in range(_LATENCIES + _SLOTS):
        header = reader.read_into(target)
        assert header is not None
        took.append(time.monotonic_ns() - header.time_ns)
    forked.join(pid)
    reader.close()
    ring.close()
    return _percentiles(took[_SLOTS:])


def bare_wake() -> dict[str, float]:
    """The latency floor: a sleeping process is woken by an eventfd and reads the clock."""
    event = os.eventfd(0, os.EFD_NONBLOCK)
    page = mmap.mmap(-1, mmap.PAGESIZE)

    def write() -> None:
        for _ in range(_LATENCIES):
            struct.pack_into("@q", page, 0, time.monotonic_ns())
            os.eventfd_write(event, 1)
            time.sleep(_GAP_S)

    pid = forked.fork(write)
    poll, took = select.poll(), []
    poll.register(event, select.POLLIN)
    while len(took) < _LATENCIES - 20:  # two that came together are one
        if not poll.poll(1000):
            break
        took.append(time.monotonic_ns() - struct.unpack_from("@q", page)[0])
        os.eventfd_read(event)
    forked.join(pid)
    os.close(event)
    page.close()
    return _percentiles(took)


def main() -> int:
    parser = argparse.ArgumentParser(description="a frame queue beside bare copies")
    parser.add_argument("--seconds", type=float, default=8.0, help="a size, about")
    parser.add_argument("--kills", type=int, help="kill writer and reader so often instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.kills is not None:
        outcome = ring_kills.run(arguments.kills, arguments.seed)
        for name, value in outcome.json().items():
            print(f"{name:10} {value}", file=sys.stderr)
        if arguments.json:
            print(json.dumps(outcome.json()))
        return 0 if outcome.clean else 1
    out: dict[str, Any] = {"bare_wake": bare_wake()}
    print(f"bare wake-up      {out['bare_wake']}", file=sys.stderr)
    for width, height in SIZES:
        name = f"{width}x{height}"
        out[name] = throughput(width, height, arguments.seconds) | latency(width, height)
        print(f"{name:10} {out[name]}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(out))
    return 0
