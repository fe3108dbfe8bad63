"""Kill a frame queue's writer, then its reader, before each single step of the interpreter.

    python -m tests.support.ring_steps [N]

Forks a child for each N-th byte code instruction (default: every one, half a minute) of attaching
and of writing or reading one frame, has it killed there, and looks at what the other side and a
successor find. Prints JSON: how many instructions each way had, and what was wrong.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from comfytrickle.shm.layout import Policy
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Ring, RingClosed
from comfytrickle.shm.writer import RingWriter
from tests.support.ring_frames import bytes_of, info_of, whole

SLOTS = 2
SIZE = 20_000


def _killed_at(step: int, body: Callable[[], Any]) -> bool:
    """Run ``body`` in a child, killed before instruction ``step``. False: it came to its end."""
    pid = os.fork()
    if pid == 0:
        left = step

        def count(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            frame.f_trace_opcodes = True
            if event == "opcode":
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
            return count

        sys.settrace(count)
        try:
            body()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _wakes(event: int) -> bool:
    poll = select.poll()
    poll.register(event, select.POLLIN)
    return bool(poll.poll(0))


def _put(writer: RingWriter, in_place: bool = False) -> None:
    n = writer.sequence
    if in_place:
        with writer.fill(info_of(n), SIZE) as slot:
            slot.view[:] = bytes_of(n, SIZE)
    else:
        assert writer.write(info_of(n), bytes_of(n, SIZE), timeout=0)


def _drain(reader: RingReader) -> list[int]:
    seen = []
    while (frame := reader.read(timeout=0)) is not None:
        assert whole(frame.header, frame.data), f"frame {frame.header.sequence} is not whole"
        seen.append(frame.header.sequence)
    return seen


def kill_writer(step: int, policy: Policy, in_place: bool) -> bool:
    """Killed in the third frame of a queue of two, the first of which was read."""
    ring = Ring.create(SIZE, SLOTS, policy)
    first, reader = RingWriter(ring), RingReader(ring)
    for _ in range(2):
        _put(first)
    assert reader.read(timeout=0) is not None

    def body() -> None:
        writer = RingWriter(Ring(ring.duplicate()))
        _put(writer, in_place)

    killed = _killed_at(step, body)
    there, here = os.pipe()
    os.close(here)
    reader.watch(there)  # the peer is dead: whatever it left is read, and then there is an end
    seen = []
    try:
        while (frame := reader.read()) is not None:
            assert whole(frame.header, frame.data), f"step {step}: a torn frame was read"
            seen.append(frame.header.sequence)
    except RingClosed:
        pass
    assert seen == [1] or seen == [1, 2], f"step {step}: {seen}"
    assert killed or seen == [1, 2], f"step {step}: {seen} of a writer that lived"
    reader.watch(None)
    os.close(there)
    if _wakes(ring.descriptors.filled):
        os.eventfd_read(ring.descriptors.filled)  # as a reader does that then finds nothing
    after = RingWriter(ring)
    assert _wakes(ring.descriptors.filled), f"step {step}: who waits for frames is not woken"
    assert after.sequence == seen[-1] + 1, f"step {step}: goes on at {after.sequence} after {seen}"
    _put(after)
    assert _drain(reader) == [seen[-1] + 1], f"step {step}: the successor's frame"
    for each in (first, after, reader):
        each.close()
    ring.close()
    return killed


def kill_reader(step: int, policy: Policy, into: bool) -> bool:
    """Killed in reading the first frame of a full queue."""
    ring = Ring.create(SIZE, SLOTS, policy)
    writer = RingWriter(ring)
    for _ in range(SLOTS):
        _put(writer)

    def body() -> None:
        reader = RingReader(Ring(ring.duplicate()))
        if into:
            reader.read_into(bytearray(SIZE), timeout=0)
        else:
            reader.read(timeout=0)

    killed = _killed_at(step, body)
    after = RingReader(ring)
    assert _wakes(ring.descriptors.freed), f"step {step}: who waits for room is not woken"
    room = writer.has_room
    seen = _drain(after)
    assert seen in ([0, 1], [1]), f"step {step}: {seen}"
    assert killed or seen == [1], f"step {step}: {seen} after a reader that lived"
    assert room == (policy is Policy.OVERWRITE or seen == [1]), f"step {step}: room {room}"
    assert writer.has_room
    _put(writer)
    assert _drain(after) == [2]
    for each in (writer, after):
        each.close()
    ring.close()
    return killed


def main() -> None:
    stride = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    steps: dict[str, int] = {}
    wrong: list[str] = []
    for name, attempt in (("writer", kill_writer), ("reader", kill_reader)):
        for policy in Policy:
            for way in (False, True):
                # Each way begins elsewhere, so that together they have more of the common steps.
                step = len(steps) % stride
                try:
                    while attempt(step, policy, way):
                        step += stride
                except AssertionError as error:
                    wrong.append(f"{name}, {policy.name}, {way}: {error}")
                steps[f"{name} {policy.name} {way}"] = step
    print(json.dumps({"steps": steps, "wrong": wrong}))


if __name__ == "__main__":
    main()
