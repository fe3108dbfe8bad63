"""A frame queue's throughput and latency, and their floors. See scripts/bench_ring.py.

A frame crosses by two copies, one in and one out, by two processes that work at the same time. So
that is the floor: two such processes copy into and out of the same slots at the same time, in the
same order, and never wait for each other nor say anything. What a frame costs, whoever else uses
the machine, is the processor time of both sides together, beside that of the bare copies.

``in_turn`` is a lower floor: one process that copies in and out, one after the other.
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
from typing import Any, NamedTuple

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
_STUCK_S = 30.0


def _info(width: int, height: int) -> FrameInfo:
    return FrameInfo(0, width, height, PixelFormat.RGB24, stride=width * 3)


class Pace(NamedTuple):
    """Of ``count`` frames. ``cpu_s``: of all who took part."""

    wall_s: float
    cpu_s: float


def _together(write: Callable[[], Pace], read: Callable[[], Pace]) -> Pace:
    """Run both in a process each, beginning at the same time; the slower one's time."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    gate = os.eventfd(0, os.EFD_SEMAPHORE)

    def child(place: int, body: Callable[[], Pace]) -> Callable[[], None]:
        def go() -> None:
            os.eventfd_read(gate)
            struct.pack_into("2d", page, place * 16, *body())

        return go

    pids = [forked.fork(child(0, write)), forked.fork(child(1, read))]
    os.eventfd_write(gate, 2)
    forked.join(*pids)
    sides = [Pace(*struct.unpack_from("2d", page, place * 16)) for place in range(2)]
    os.close(gate)
    page.close()
    return Pace(max(side.wall_s for side in sides), sum(side.cpu_s for side in sides))


def _copies(ring: Ring, size: int, count: int) -> Pace:
    """The bare copies."""

    def write() -> Pace:
        mine, source = Ring(ring.duplicate()), memoryview(bytearray(os.urandom(size)))
        views = [mine.payload(n, size) for n in range(_SLOTS)]
        return _timed(count, lambda n: views[n % _SLOTS].__setitem__(slice(None), source))

    def read() -> Pace:
        mine, target = Ring(ring.duplicate()), memoryview(bytearray(size))
        views = [mine.payload(n, size) for n in range(_SLOTS)]
        return _timed(count, lambda n: target.__setitem__(slice(None), views[n % _SLOTS]))

    return _together(write, read)


def _done(result: object) -> None:
    if not result:
        raise TimeoutError(f"nothing has moved for {_STUCK_S} s")


def _in_turn(ring: Ring, size: int, count: int) -> Pace:
    """The bare copies, by one process."""
    source, target = memoryview(bytearray(os.urandom(size))), memoryview(bytearray(size))
    views = [ring.payload(n, size) for n in range(_SLOTS)]

    def step(n: int) -> None:
        views[n % _SLOTS][:] = source
        target[:] = views[n % _SLOTS]

    return _timed(count, step)


def _timed(count: int, step: Callable[[int], object]) -> Pace:
    for n in range(_SLOTS * 2):  # pages are mapped by then
        step(n)
    begun, cpu = time.perf_counter(), time.process_time()
    for n in range(count):
        step(n)
    return Pace(time.perf_counter() - begun, time.process_time() - cpu)


def _frames(ring: Ring, info: FrameInfo, size: int, count: int) -> Pace:
    """Through the queue, every frame read."""

    def write() -> Pace:
        writer, source = RingWriter(Ring(ring.duplicate())), bytearray(os.urandom(size))
        return _timed(count, lambda _: _done(writer.write(info, source, _STUCK_S)))

    def read() -> Pace:
        reader, target = RingReader(Ring(ring.duplicate())), bytearray(size)
        return _timed(count, lambda _: _done(reader.read_into(target, _STUCK_S)))

    return _together(write, read)


def throughput(width: int, height: int, seconds: float) -> dict[str, Any]:
    """Rounds of floors and ours in turns; medians, and the median of the rounds' ratios."""
    info, size = _info(width, height), width * height * 3
    ring = Ring.create(size, _SLOTS, Policy.BLOCK)
    count = max(50, int(50 / _in_turn(ring, size, 50).wall_s * seconds / _ROUNDS / 4))
    rounds = []
    for _ in range(_ROUNDS):
        floor, turn = _copies(ring, size, count), _in_turn(ring, size, count)
        rounds.append((floor, turn, _frames(ring, info, size, count)))
    ring.close()

    def median(of: Callable[[Pace, Pace, Pace], float]) -> float:
        return statistics.median(of(*each) for each in rounds)

    return {
        "frame_bytes": size,
        "frames": count * _ROUNDS,
        "floor_fps": round(median(lambda floor, turn, ours: count / floor.wall_s), 1),
        "in_turn_fps": round(median(lambda floor, turn, ours: count / turn.wall_s), 1),
        "fps": round(median(lambda floor, turn, ours: count / ours.wall_s), 1),
        "gb_s": round(median(lambda floor, turn, ours: count * size / 1e9 / ours.wall_s), 2),
        "of_floor": round(median(lambda floor, turn, ours: floor.wall_s / ours.wall_s), 3),
        "of_in_turn": round(median(lambda floor, turn, ours: turn.wall_s / ours.wall_s), 3),
        "floor_cpu_us": round(median(lambda floor, turn, ours: floor.cpu_s / count * 1e6), 1),
        "cpu_us": round(median(lambda floor, turn, ours: ours.cpu_s / count * 1e6), 1),
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
            _done(writer.write(info, source, _STUCK_S))
            time.sleep(_GAP_S)

    pid = forked.fork(write)
    reader, target, took = RingReader(ring), bytearray(size), []
    for _ in range(_LATENCIES + _SLOTS):
        header = reader.read_into(target, _STUCK_S)
        if header is None:
            raise TimeoutError(f"no frame for {_STUCK_S} s")
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
        print(name, *(f"    {k:14} {v}" for k, v in out[name].items()), sep="\n", file=sys.stderr)
    if arguments.json:
        print(json.dumps(out))
    return 0
