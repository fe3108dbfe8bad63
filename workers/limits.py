"""A limit on the machine's memory that this process may take. Light: the entry imports it.

RLIMIT_DATA counts what a process can write to and shares with nobody: the heap, anonymous mappings,
the stacks of threads. RLIMIT_AS would count torch's libraries as well, and what is merely reserved
(an address space of some 640 MB before the first tensor). Measured against really private memory,
at 512x512 and at 1920x1080, RLIMIT_DATA counts some 25 MB more: stacks that are hardly used.
"""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
_MEMINFO = Path("/proc/meminfo")


def limit_memory(more: int) -> None:
    """From now on this process may take ``more`` bytes beside what it has (what it inherited from
    the fork server is not held against it). It cannot lift that again; neither can its children,
    to each of which it applies as well. An allocation beyond it fails: MemoryError, or the like.
    """
    limit = _data_bytes() + more
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def memory_left() -> int | None:
    """Bytes that this process may still take. None: it is not limited."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if limit == resource.RLIM_INFINITY else max(0, limit - _data_bytes())


def memory_available() -> int:
    """Bytes that the machine can still give to anybody."""
    return _bytes_of(_MEMINFO, "MemAvailable")


def _data_bytes() -> int:
    return _bytes_of(_STATUS, "VmData")


def _bytes_of(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{path} has no {name}")
