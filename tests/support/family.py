"""What a control plane holds and has started, also what has lost its parent meanwhile.

A process that a dead worker leaves behind belongs to nobody's family tree any more. But a mark in
the environment, with which the control plane was started, is in all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_MARK = "COMFYTRICKLE_TEST_MARK"
_COUNTED = ("socket:", "pipe:", "anon_inode:", "/memfd:")


@contextlib.contextmanager
def marked() -> Iterator[str]:
    """Whatever is started inside carries the mark."""
    mark, outer = secrets.token_hex(8), os.environ.get(_MARK)
    os.environ[_MARK] = mark
    try:
        yield mark
    finally:
        if outer is None:
            del os.environ[_MARK]
        else:
            os.environ[_MARK] = outer


def carriers(mark: str) -> dict[int, str]:
    """Living processes with that mark: pid and command line."""
    wanted = f"{_MARK}={mark}".encode()
    found = {}
    for process in psutil.process_iter():
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            if wanted in environment.split(b"\0"):
                # without numbers (descriptors): two fork servers are alike
                found[process.pid] = re.sub(r"\d+", "N", " ".join(process.cmdline()))[:100]
        except (OSError, psutil.Error):
            pass  # another user's, or gone just now
    return found


@dataclass(frozen=True)
class Holding:
    """At one moment."""

    processes: dict[int, str]
    threads: int
    descriptors: int
    shared_memory: frozenset[str]

    @classmethod
    def take(cls, mark: str, pid: int) -> Holding:
        """``pid``: the control plane, whose threads and descriptors these are."""
        descriptors = 0
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                descriptors += str(entry.readlink()).startswith(_COUNTED)
            except FileNotFoundError:
                pass  # closed just now
        return cls(
            carriers(mark),
            psutil.Process(pid).num_threads(),
            descriptors,
            frozenset(path.name for path in Path("/dev/shm").iterdir()),
        )


def growth(before: Holding, now: Holding) -> list[str]:
    """What is there now and was not, in words. Processes are compared by their command lines: one
    that was replaced (a fork server) is not more."""
    more = Counter(now.processes.values()) - Counter(before.processes.values())
    words = [f"{count} x {line}" for line, count in more.items()]
    words += [f"/dev/shm/{name}" for name in sorted(now.shared_memory - before.shared_memory)]
    for what, was, is_now in (
        ("threads", before.threads, now.threads),
        ("descriptors", before.descriptors, now.descriptors),
    ):
        if is_now > was:
            words.append(f"{what}: {was} -> {is_now}")
    return words


async def left_behind(before: Holding, mark: str, pid: int, wait_s: float = 5.0) -> list[str]:
    """What has grown and stays so for ``wait_s`` seconds; what is ending gets that long."""
    deadline = time.monotonic() + wait_s
    while found := growth(before, Holding.take(mark, pid)):
        if time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)
    return []
