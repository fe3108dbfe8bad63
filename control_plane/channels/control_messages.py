"""What comes in on a stream's control channel: JSON objects, however they are cut up. Pure."""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 4 << 20  # of one message; a large workflow has some hundred kilobytes

_KEEPALIVE = {"keep": "alive"}


class BadMessage(Exception):
    """Not what a control channel carries; the text says what it was."""


class Messages:
    """Of one segment: one JSON object, or several one after another, in pieces of any size.

    A message is complete with its last brace, not with the segment, which may stay open.
    """

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder()
        self._data = bytearray()
        self._looked_at = 0  # nothing is complete that ends before here

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """The messages that are complete with ``piece``. Raises BadMessage; the rest of the segment
        then is of no use."""
        self._data += piece
        if len(self._data) > MAX_BYTES:
            raise BadMessage(f"a message of more than {MAX_BYTES} bytes")
        # Every message ends with a brace: what has none in it completes nothing.
        if b"}" not in piece and b"\n" not in piece:
            return []
        return self._complete(last=False)

    def end(self) -> list[dict[str, Any]]:
        """The segment has ended. Raises BadMessage for what is left over."""
        return self._complete(last=True)

    def _complete(self, *, last: bool) -> list[dict[str, Any]]:
        try:
            text = self._data.decode()
        except UnicodeDecodeError as error:
            if not last:
                return []  # cut within a character, perhaps
            raise BadMessage(f"not UTF-8 at byte {error.start}") from None
        found: list[dict[str, Any]] = []
        at = 0
        while True:
            at += len(text[at:]) - len(text[at:].lstrip())
            if at == len(text):
                break
            if text[at] != "{":
                raise BadMessage(f"a JSON object is expected, not {text[at : at + 40]!r}")
            try:
                value, at = self._decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:
                if last:
                    raise BadMessage(f"not valid JSON: {error}") from None
                break  # the rest of it is still to come
            except RecursionError:
                raise BadMessage("nested too deeply") from None
            found.append(value)
        del self._data[: len(text[:at].encode())]
        return [message for message in found if message != _KEEPALIVE]
