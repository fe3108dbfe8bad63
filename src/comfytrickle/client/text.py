"""A text answer that comes line by line."""

from __future__ import annotations

from collections import deque

import aiohttp

from comfytrickle.calls import Call
from comfytrickle.client.connection import Connection
from comfytrickle.client.server_events import Lines


class Text:
    """Connects with its first line. Owns the answer until ``close``.

    No async generator, nor are other things below those that callers iterate: at its end a loop
    closes all of them at once, not the outer one first.
    """

    def __init__(self, connection: Connection, call: Call, silence: float | None = None) -> None:
        self._connection = connection
        self._call = call
        self._silence = silence
        self._reply: aiohttp.ClientResponse | None = None
        self._lines = Lines()
        self._ready: deque[str] = deque()

    async def next(self) -> str | None:
        """A line without its end; None when there are no more. Raises Refused, Unreachable (also
        after ``silence`` seconds without a byte)."""
        if self._reply is None:
            self._reply = await self._connection.open(
                self._call, endless=True, silence=self._silence
            )
        while not self._ready:
            with self._connection.transport_errors(self._call.path):
                data = await self._reply.content.readany()
            self._ready += self._lines.feed(data) if data else self._lines.rest()
            if not data:
                break
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        if self._reply is not None:
            self._reply.close()
