"""A frame queue between real processes, and what is left when one of them is killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import multiprocess
import pytest
from multiprocess import forkserver, resource_tracker

from comfytrickle.shm.layout import Policy
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Descriptors, Ring, RingClosed
from comfytrickle.shm.writer import RingWriter
from tests.support.ring_frames import bytes_of, info_of, whole
from workers.inherited import Inherited

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0

_PEER = """
import sys
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Descriptors, Ring
from comfytrickle.shm.writer import RingWriter
from tests.support.ring_frames import bytes_of, info_of, whole

ring = Ring(Descriptors(*map(int, sys.argv[2:])))
if sys.argv[1] == "writer":
    writer = RingWriter(ring)
    for n in range(10):
        assert writer.write(info_of(n), bytes_of(n, 30_000))
    with writer.fill(info_of(10), 30_000) as slot:
        slot.view[:15_000] = bytes_of(10, 15_000)
        print("half", flush=True)
        sys.stdin.read()
else:
    reader = RingReader(ring)
    for n in range(10):
        frame = reader.read()
        assert frame.header.sequence == n and whole(frame.header, frame.data)
    print("half", flush=True)
    sys.stdin.read()
"""


def start(side: str, ring: Ring) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _PEER, side, *map(str, ring.descriptors)],
        pass_fds=ring.descriptors,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def pidfd(process: subprocess.Popen[bytes]) -> int:
    return os.pidfd_open(process.pid)


def its_pipe(process: subprocess.Popen[bytes]) -> int:
    """Its standard output, on which nothing comes any more until it ends."""
    assert process.stdout is not None
    return os.dup(process.stdout.fileno())


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def until_half(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"


@pytest.mark.parametrize("notice", [pidfd, its_pipe])
@pytest.mark.parametrize("waiting", ["thread", "loop"])
def test_a_writer_killed_in_a_frame_leaves_all_before_it_and_an_end(
    notice: Callable[[subprocess.Popen[bytes]], int], waiting: str
) -> None:
    ring = Ring.create(30_000, 12)
    process = start("writer", ring)
    until_half(process)
    peer = notice(process)
    reader = RingReader(ring, peer)
    os.close(peer)
    seen = []

    def read_all() -> None:
        while True:
            frame = reader.read()
            assert frame is not None and whole(frame.header, frame.data)
            seen.append(frame.header.sequence)
            if len(seen) == 10:
                process.kill()  # the next read waits for it

    async def receive_all() -> None:
        while True:
            frame = await asyncio.wait_for(reader.receive(), PATIENCE_S)
            assert whole(frame.header, frame.data)
            seen.append(frame.header.sequence)
            if len(seen) == 10:
                asyncio.get_running_loop().call_soon(process.kill)

    with pytest.raises(RingClosed, match="writer is gone, and all is read"):
        read_all() if waiting == "thread" else asyncio.run(receive_all())
    assert seen == list(range(10))
    kill(process)
    # Another writer goes on, and the same reader.
    reader.watch(None)
    writer = RingWriter(ring)
    assert writer.sequence == 10
    writer.write(info_of(10), bytes_of(10, 500))
    frame = reader.read(timeout=PATIENCE_S)
    assert frame is not None and whole(frame.header, frame.data)
    for each in (writer, reader):
        each.close()
    ring.close()


@pytest.mark.parametrize("notice", [pidfd, its_pipe])
@pytest.mark.parametrize("waiting", ["thread", "loop"])
def test_a_writer_that_waits_for_a_killed_reader_is_told(
    notice: Callable[[subprocess.Popen[bytes]], int], waiting: str
) -> None:
    ring = Ring.create(30_000, 2, Policy.BLOCK)
    process = start("reader", ring)
    writer = RingWriter(ring)
    for n in range(10):
        assert writer.write(info_of(n), bytes_of(n, 30_000), PATIENCE_S)
    until_half(process)
    peer = notice(process)
    writer.watch(peer)
    os.close(peer)
    for n in (10, 11):
        assert writer.write(info_of(n), bytes_of(n, 30_000), PATIENCE_S)

    async def send() -> None:
        asyncio.get_running_loop().call_later(0.05, process.kill)
        await asyncio.wait_for(writer.send(info_of(12), b"x"), PATIENCE_S)

    with pytest.raises(RingClosed, match="reader is gone, and it is full"):
        if waiting == "thread":
            assert not writer.write(info_of(12), b"x", timeout=0.05)
            process.kill()
            writer.write(info_of(12), b"x")
        else:
            asyncio.run(send())
    kill(process)
    writer.watch(None)
    reader = RingReader(ring)
    for n in (10, 11):
        frame = reader.read(timeout=0)
        assert frame is not None and frame.header.sequence == n and whole(frame.header, frame.data)
    for each in (writer, reader):
        each.close()
    ring.close()


def _echo(inlet: tuple[Inherited, ...], outlet: tuple[Inherited, ...]) -> None:
    """In a forked worker: hand every frame back, in place."""
    reader = RingReader(Ring(Descriptors(*(each.descriptor for each in inlet))))
    writer = RingWriter(Ring(Descriptors(*(each.descriptor for each in outlet))))
    while True:
        try:
            frame = reader.read()
        except RingClosed:
            writer.close()
            return
        assert frame is not None
        with writer.fill(frame.header.info, len(frame.data)) as slot:
            slot.view[:] = frame.data


async def test_inlet_and_outlet_of_a_process_of_the_fork_server() -> None:
    context = multiprocess.get_context("forkserver")
    inlet, outlet = Ring.create(30_000, 4, Policy.BLOCK), Ring.create(30_000, 4)
    process = context.Process(
        target=_echo,
        args=tuple(tuple(map(Inherited, ring.descriptors)) for ring in (inlet, outlet)),
    )
    await asyncio.to_thread(process.start)
    writer = RingWriter(inlet, process.sentinel)
    reader = RingReader(outlet, process.sentinel)
    for n in range(50):
        await asyncio.wait_for(writer.send(info_of(n), bytes_of(n, 600 * n)), PATIENCE_S)
        frame = await asyncio.wait_for(reader.receive(), PATIENCE_S)
        assert frame.header.sequence == n
        assert frame.header.info == info_of(n) and frame.data == bytes_of(n, 600 * n)
    writer.close()
    with pytest.raises(RingClosed):
        await asyncio.wait_for(reader.receive(), PATIENCE_S)
    await asyncio.to_thread(process.join)
    assert process.exitcode == 0
    process.close()
    await asyncio.to_thread(forkserver._forkserver._stop)
    await asyncio.to_thread(resource_tracker._resource_tracker._stop)
    reader.close()
    inlet.close()
    outlet.close()


def test_two_hundred_kills_tear_and_hang_nothing() -> None:
    """scripts/bench_ring.py --kills 2000 does more of the same."""
    done = subprocess.run(
        [sys.executable, "scripts/bench_ring.py", "--kills", "200", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    told = json.loads(done.stdout)
    assert {name: told[name] for name in ("bad", "disorder", "hangs", "left")} == {
        "bad": 0,
        "disorder": 0,
        "hangs": 0,
        "left": [],
    }, told
    assert told["kills"] >= 200 and min(told["writers"], told["readers"]) >= 50
    assert told["read"] >= 200
    assert done.returncode == 0


def test_a_kill_between_two_instructions_tears_nothing() -> None:
    """A share of the instructions; tests/support/ring_steps.py does all of them."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.ring_steps", "13"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    assert len(told["steps"]) == 8 and min(told["steps"].values()) > 300
