"""Durations as people write them: ``5m``, ``90s``, ``1h30m``, ``250ms``."""

from __future__ import annotations

import re

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = r"\d+(?:\.\d+)?"
_PART = re.compile(rf"({_NUMBER})(ms|h|m|s)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_NUMBER}(?:ms|h|m|s))+", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds in ``text``: numbers with h, m, s or ms, added up; a bare number is seconds.

    Raises ValueError for anything else (also for a sign, a space, or nothing at all).
    """
    if _PLAIN.fullmatch(text):
        return float(text)
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 5m, 1h30m or 250ms")
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
