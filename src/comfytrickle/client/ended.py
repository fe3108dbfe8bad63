"""What a caller is told when its stream is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Ended(Exception):
    """The stream is over. ``status`` is its last one, {} where only the fact is known."""

    def __init__(self, message: str, status: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = dict(status or {})


def ended(status: Mapping[str, Any]) -> Ended:
    """With the reason that the status gives."""
    error = status.get("last_error") or {}
    why = error.get("message") or status.get("exit_cause") or status.get("state")
    return Ended(f"stream {status.get('request_id')!r} has ended: {why}", status)
