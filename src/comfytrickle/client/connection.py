"""The requests of one control plane, over aiohttp, whose errors become Refused and Unreachable."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import Iterator
from typing import Any

import aiohttp

from comfytrickle.calls import TIMEOUT_S, Call, Refused, Unreachable, error_body, is_local
from comfytrickle.frame_message import MAX_MESSAGE
from comfytrickle.trickle.client_session import keepalive_socket

_CONNECT_S = 10.0
_GOODBYE_S = 2.0  # a server whose stream has no room answers no goodbye either


class Connection:
    """Owns the session, from the first request to ``close``."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float = TIMEOUT_S,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout = timeout
        self._ssl = ssl_context
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def json(self, call: Call) -> Any:
        """The JSON of the answer. Raises Refused, Unreachable."""
        raw = await self.bytes(call)
        try:
            return json.loads(raw)
        except ValueError as error:
            raise Unreachable(f"{self.url}{call.path}: not a JSON answer: {error}") from error

    async def bytes(self, call: Call) -> bytes:
        """The body of the answer. Raises Refused, Unreachable."""
        with self.transport_errors(call.path):
            async with await self.open(call) as reply:
                return await reply.read()

    async def socket(self, call: Call) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket, which the caller closes. Raises Refused, Unreachable."""
        try:
            with self.transport_errors(call.path):
                return await self._open_session().ws_connect(
                    self.url + call.path,
                    headers=self._headers,
                    max_msg_size=MAX_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_S),
                )
        except _NoSocket as error:
            raise await self._why(call, error.status) from None

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,  # whoever watches a hundred streams has a hundred connections
                ssl=True if self._ssl is None else self._ssl,
                socket_factory=keepalive_socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=_CONNECT_S),
                trust_env=not is_local(self.url),
            )
        return self._session

    async def open(
        self, call: Call, *, endless: bool = False, silence: float | None = None
    ) -> aiohttp.ClientResponse:
        """An answer that was no refusal; the caller closes it. ``endless``: only its beginning has
        a time limit, and each ``silence`` in it (seconds). Raises Refused, Unreachable."""
        limits = aiohttp.ClientTimeout(
            total=None if endless else self._timeout, sock_connect=_CONNECT_S, sock_read=silence
        )
        url, session = self.url + call.path, self._open_session()
        request = session.request(
            call.method, url, json=call.body, headers=self._headers, timeout=limits
        )
        with self.transport_errors(call.path):
            reply = await asyncio.wait_for(request, self._timeout)
            if reply.status < 400:
                return reply
            async with reply:
                body = error_body(await reply.read())
        raise Refused(reply.status, body, _seconds(reply.headers.get("Retry-After")))

    async def _why(self, call: Call, status: int) -> Refused | Unreachable:
        """aiohttp throws away what a refused WebSocket was told; a plain request is told again."""
        try:
            await self.bytes(call)
        except Refused as refused:
            return refused if refused.status == status else Refused(status)
        except Unreachable as error:
            return error
        return Unreachable(f"{self.url}{call.path}: answers, but with no WebSocket")

    @contextlib.contextmanager
    def transport_errors(self, path: str) -> Iterator[None]:
        """What goes wrong inside, as Unreachable."""
        try:
            yield
        except aiohttp.WSServerHandshakeError as error:
            if error.status < 400:
                raise Unreachable(f"{self.url}{path}: {error.message}") from error
            raise _NoSocket(error.status) from error
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{self.url}: {_reason(error.os_error)}") from error
        except asyncio.TimeoutError as error:
            raise Unreachable(f"{self.url}{path}: no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"{self.url}{path}: {reason}") from error


class _NoSocket(Exception):
    """A WebSocket was refused with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _reason(error: OSError) -> str:
    """asyncio's own text repeats the address in Python's notation."""
    if error.errno is None or error.errno <= 0:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
