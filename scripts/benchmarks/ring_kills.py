"""SIGKILL to a frame queue's writer and reader at random moments. See scripts/bench_ring.py."""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import forked
from comfytrickle.shm.layout import Policy
from comfytrickle.shm.reader import RingReader
from comfytrickle.shm.ring import Ring
from comfytrickle.shm.writer import RingWriter
from tests.support.ring_frames import bytes_of, info_of, whole

_CAPACITY = 640 * 480 * 3
_HANGS_S = 20.0  # without a frame, on however busy a machine
_LATEST_S = 0.004  # a kill comes so long after a frame was seen, at most
# Words of the board: what readers tell, whoever is killed.
_READ, _BAD, _DISORDER, _DUE = range(4)


@dataclass
class Outcome:
    """``bad``: frames that were read and were of two, or damaged. ``disorder``: out of turn, or
    missing where nothing may be lost. ``torn``: copies that the reader recognised as such."""

    kills: int = 0
    writers: int = 0
    readers: int = 0
    read: int = 0
    bad: int = 0
    disorder: int = 0
    hangs: int = 0
    torn: int = 0
    lost: int = 0
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.bad or self.disorder or self.hangs or self.left)

    def json(self) -> dict[str, Any]:
        return asdict(self)


def _write(ring: Ring, turn: random.Random) -> None:
    mine = Ring(ring.duplicate())
    writer = RingWriter(mine)

    async def send() -> None:
        while True:
            n = writer.sequence
            await writer.send(info_of(n), bytes_of(n, turn.randrange(_CAPACITY)))

    if turn.random() < 0.3:
        asyncio.run(send())
    while True:
        n = writer.sequence
        data = bytes_of(n, turn.randrange(_CAPACITY))
        if turn.random() < 0.5:
            writer.write(info_of(n), data)
        elif writer.wait():
            with writer.fill(info_of(n), len(data)) as slot:
                slot.view[:] = data


def _read(ring: Ring, board: memoryview, turn: random.Random) -> None:
    mine = Ring(ring.duplicate())
    reader = RingReader(mine)
    buffer = memoryview(bytearray(_CAPACITY))
    # The reader before may have been killed between taking a frame and telling, or before that
    # frame was off the ring.
    slack = 1

    def told(header: Any) -> None:
        nonlocal slack
        due = board[_DUE]
        early = header.sequence < due - slack
        late = mine.policy is Policy.BLOCK and header.sequence > due + slack
        board[_DISORDER] += early or late
        board[_BAD] += not whole(header, buffer[: header.length])
        board[_DUE] = header.sequence + 1
        board[_READ] += 1
        slack = 0

    async def receive() -> None:
        while True:
            told(await reader.receive_into(buffer))

    if turn.random() < 0.3:
        asyncio.run(receive())
    while True:
        told(reader.read_into(buffer))


def _progress(board: memoryview) -> bool:
    before = board[_READ]
    deadline = time.monotonic() + _HANGS_S
    while board[_READ] == before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0002)
    return True


def _phase(policy: Policy, kills: int, turn: random.Random, outcome: Outcome) -> None:
    ring = Ring.create(_CAPACITY, 3, policy)
    page = mmap.mmap(-1, mmap.PAGESIZE)
    board = memoryview(page).cast("Q")

    def start(side: str) -> int:
        chance = random.Random(turn.random())
        if side == "writer":
            return forked.fork(lambda: _write(ring, chance))
        return forked.fork(lambda: _read(ring, board, chance))

    living = {side: start(side) for side in ("writer", "reader")}
    for _ in range(kills):
        if not _progress(board):
            outcome.hangs += 1
            break
        time.sleep(turn.random() * _LATEST_S)
        victims = ["writer", "reader"] if turn.random() < 0.1 else [turn.choice(list(living))]
        for side in victims:
            forked.end(living.pop(side))
        outcome.kills += len(victims)
        outcome.writers += "writer" in victims
        outcome.readers += "reader" in victims
        turn.shuffle(victims)
        living |= {side: start(side) for side in victims}
    else:
        outcome.hangs += not _progress(board)
    for pid in living.values():
        forked.end(pid)
    outcome.read += board[_READ]
    outcome.bad += board[_BAD]
    outcome.disorder += board[_DISORDER]
    outcome.torn += ring.torn
    outcome.lost += ring.lost
    board.release()
    page.close()
    ring.close()


def _held() -> set[str]:
    out = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            out.add(f"descriptor {entry.name} {entry.readlink()}")
        except FileNotFoundError:
            pass  # the descriptor of this very listing
    mapped = Path("/proc/self/maps").read_text().splitlines()
    return out | {f"mapping {line}" for line in mapped if "memfd:" in line}


def run(kills: int, seed: int) -> Outcome:
    """At least ``kills`` of them, half with either policy."""
    outcome, turn, begun = Outcome(), random.Random(seed), time.monotonic()
    before = _held()
    for policy, share in ((Policy.OVERWRITE, kills // 2), (Policy.BLOCK, kills - kills // 2)):
        _phase(policy, share, turn, outcome)
    outcome.left = sorted(_held() - before)
    try:
        os.waitpid(-1, os.WNOHANG)
        outcome.left.append("a child")
    except ChildProcessError:
        pass
    outcome.seconds = round(time.monotonic() - begun, 2)
    return outcome
