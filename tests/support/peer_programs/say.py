"""What a peer program and the test that started it tell each other: lines on stdout and stdin."""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def given() -> dict[str, Any]:
    """The parameters: the program's only argument, a JSON object."""
    return dict(json.loads(sys.argv[1]))


def say(event: str, **fields: Any) -> None:
    """One JSON object on stdout. ``at`` is time.monotonic(), which all processes share."""
    sys.stdout.write(json.dumps({"event": event, "at": time.monotonic(), **fields}) + "\n")
    sys.stdout.flush()


def told(word: str) -> None:
    """Wait until the test says ``word``. Blocking."""
    line = sys.stdin.readline().strip()
    if line != word:
        raise SystemExit(f"told {line!r} instead of {word!r}")  # or the test has gone
