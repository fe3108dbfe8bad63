"""Publishes the texts of one stream's workflow: JSON lines, on its data channel.

A segment holds what came within a second; each line is on the wire as it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from comfytrickle.messages import TextLine
from control_plane.channels.side_publisher import SidePublisher

MIME = "application/jsonl"
_SEGMENT_S = 1.0
_WAITING = 1000  # lines


def as_object(line: TextLine) -> dict[str, Any]:
    """``timestamp``: milliseconds since 1970."""
    value: dict[str, Any] = {
        "text": line.text,
        "node_id": line.node_id,
        "pts": line.pts,
        "timestamp": int(line.at * 1000),
    }
    if line.truncated:
        value["truncated"] = True
    return value


def to_line(line: TextLine) -> bytes:
    """One line of JSON, less than 64 KiB, with its end."""
    return msgspec.json.encode(as_object(line)) + b"\n"


class StreamTexts:
    """``serve`` once; ``take`` at any time."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._channel = SidePublisher(session, url, MIME, waiting=_WAITING, segment_s=_SEGMENT_S)

    def take(self, lines: Sequence[TextLine]) -> None:
        for line in lines:
            self._channel.put(to_line(line))

    async def serve(self, over: asyncio.Event) -> None:
        """Until ``over`` and a moment longer, for the last ones."""
        await self._channel.serve(over.wait())
