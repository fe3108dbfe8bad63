"""What a request's path means: a channel, one of its segments, or nothing of ours."""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple
from urllib.parse import unquote

NEXT = "next"  # GET /channel/next

_INDEX = re.compile(r"[+-]?[0-9]{1,19}")
_MAX_SEQ = 2**62  # far beyond use, far below what a peer's 64-bit integer can hold


class Target(NamedTuple):
    """``/name`` (sub None) or ``/name/sub``, where sub should be a number or NEXT."""

    name: str
    sub: str | None


class Moved(Exception):
    """The path is not in its shortest form; ``location`` is."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def normal_base(path: str) -> str:
    """A base path with a slash at both ends: ``live`` -> ``/live/``."""
    inner = path.strip("/")
    return f"/{inner}/" if inner else "/"


def parse_target(raw: str, base: str) -> Target | None:
    """Read a request target; None where nothing of ours can be (404).

    ``raw`` is the path as it came, still percent-encoded: ``%2F`` is part of a name. A query is
    ignored. Raises Moved for ``//`` and ``.`` segments (row 39), UnicodeDecodeError for a name
    that is not UTF-8.
    """
    path, _, query = raw.partition("?")
    clean = _clean(path)
    if clean != path:
        raise Moved(f"{clean}?{query}" if query else clean)
    if not path.startswith(base):
        return None
    parts = path[len(base) :].split("/")
    if len(parts) > 2 or not all(parts):
        return None
    name, *rest = (unquote(part, errors="strict") for part in parts)
    return Target(name, rest[0] if rest else None)


def parse_index(text: str) -> int | None:
    """A decimal number with an optional sign (``00`` and ``+0`` are 0), or None."""
    if not _INDEX.fullmatch(text):
        return None
    value = int(text)
    return value if abs(value) <= _MAX_SEQ else None


def _clean(path: str) -> str:
    if "//" not in path and "/." not in path:
        return path
    # normpath keeps two leading slashes, as POSIX wants it, and drops a trailing one.
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith(("/", "/.", "/..")) and clean != "/" else clean
