"""Text that comes in pieces: lines, and server-sent events made of them. Pure.

Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html, as far as the
control plane sends them: lines end with LF or CR LF, data is JSON, there are no ids.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """``name``: ``streams``, ``state``, ``gone`` or ``health``; docs/api.md has their ``data``."""

    name: str
    data: Any


class Lines:
    """Bytes in, whole lines out, however long they are."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of the line that is not whole yet

    def feed(self, data: bytes) -> list[str]:
        """The lines that are whole now, without their ends."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join((*self._pieces, whole[0]))
            self._pieces.clear()
        self._pieces.append(rest)
        return [_text(line) for line in whole]

    def rest(self) -> list[str]:
        """A last line without an end; nothing when there is none."""
        line = b"".join(self._pieces)
        self._pieces.clear()
        return [_text(line)] if line else []


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


class Events:
    """Lines in, events out."""

    def __init__(self) -> None:
        self._name = ""
        self._data: list[str] = []

    def feed(self, line: str) -> Event | None:
        """The event that this line ends. Raises ValueError when its data is no JSON."""
        if line:
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if key == "event":
                self._name = value
            elif key == "data":
                self._data.append(value)
            return None  # a comment, which has no key, and other fields are passed over
        name, data = self._name or "message", "\n".join(self._data)
        self._name, self._data = "", []
        return Event(name, json.loads(data)) if data else None
