"""How times are written in answers."""

from __future__ import annotations

from datetime import datetime, timezone


def iso_time(seconds: float | None) -> str | None:
    """UTC, RFC 3339, milliseconds."""
    if seconds is None:
        return None
    text = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
