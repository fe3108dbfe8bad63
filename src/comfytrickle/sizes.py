"""Amounts of memory as people write and read them: ``6GB``, ``512MiB``, ``1.5G``."""

from __future__ import annotations

import re

_UNITS = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9,
    "t": 10**12, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([a-z]*)", re.ASCII | re.IGNORECASE)


def parse_bytes(text: str) -> int:
    """Bytes in ``text``: a number, and k, M, G or T (powers of 1000; with ``i``, as in GiB, of
    1024). Raises ValueError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is not an amount of memory; write for example 6GB or 512MiB")
    return round(float(match[1]) * unit)


def show_bytes(amount: int) -> str:
    """In the unit of its size, powers of 1000, one decimal: ``6.1 GB``."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if amount >= unit:
            return f"{amount / unit:.1f} {name}"
    return f"{amount} B"
