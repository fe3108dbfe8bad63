"""What a test left behind, compared with what was there before it."""

from __future__ import annotations

import gc
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

# Processes that a fixture of a wider scope owns; it checks by itself that they leave nothing.
shared: set[int] = set()


def _family() -> frozenset[int]:
    mine = psutil.Process()
    pids = {p.pid for p in mine.children(recursive=True)}
    for pid in shared:
        pids.discard(pid)
        try:
            pids -= {p.pid for p in psutil.Process(pid).children(recursive=True)}
        except psutil.NoSuchProcess:
            pass  # a test has killed it; its fixture knows
    return frozenset(pids)


@dataclass(frozen=True)
class Baseline:
    """Processes below us, our threads, our descriptors, and the machine's shared memory."""

    processes: frozenset[int]
    threads: frozenset[int]
    descriptors: frozenset[tuple[str, str]]
    shared_memory: frozenset[str]

    @classmethod
    def take(cls) -> Baseline:
        return cls(
            processes=_family(),
            threads=frozenset(t.ident for t in threading.enumerate() if t.ident),
            descriptors=frozenset(_descriptors()),
            shared_memory=frozenset(p.name for p in Path("/dev/shm").iterdir()),
        )


def _descriptors() -> list[tuple[str, str]]:
    out = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            out.append((entry.name, str(entry.readlink())))
        except FileNotFoundError:
            pass  # the descriptor of this very listing
    return out


def _new(before: Baseline) -> list[str]:
    now = Baseline.take()
    leaks = []
    for pid in now.processes - before.processes:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE or process.ppid() == os.getpid():
                leaks.append(f"process {pid} {' '.join(process.cmdline())[:120]}")
        except psutil.NoSuchProcess:
            pass
    names = {t.ident: t.name for t in threading.enumerate()}
    leaks += [f"thread {names.get(t)}" for t in now.threads - before.threads if t in names]
    # A file that is merely open (a log, a font, a cache) is not counted: what leaks and hurts are
    # sockets, pipes and anonymous memory.
    leaks += [
        f"descriptor {number} {target}"
        for number, target in now.descriptors - before.descriptors
        if target.startswith(("socket:", "pipe:", "anon_inode:", "/memfd:"))
    ]
    leaks += [f"/dev/shm/{name}" for name in now.shared_memory - before.shared_memory]
    return leaks


def find_leaks(before: Baseline, wait_s: float) -> list[str]:
    """What is new and stays for ``wait_s`` seconds (things that are ending get that long)."""
    deadline = time.monotonic() + wait_s
    leaks = _new(before)
    while leaks and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
        leaks = _new(before)
    return leaks
