"""The calls to the orchestrator, on one connection. No policy.

The connection is kept from call to call. When it is another one than before, the process at its
other end may be another one, too.
"""

from __future__ import annotations

import asyncio
import ssl
from types import SimpleNamespace, TracebackType
from typing import Any

import aiohttp

from comfytrickle.registration.faults import in_words
from comfytrickle.registration.shapes import (
    REGISTER,
    UNREGISTER,
    Away,
    Capability,
    Never,
    NotNow,
    check_answer,
)

_ANSWER_MAX = 4096  # bytes of an answer that are read
_KEEP_S = 3600.0  # the server closes earlier if it wants to
_UP = frozenset({200, 400, 401, 403, 405})  # GET is 405 there, and changes nothing


class Orchestrator:
    """All methods raise NotNow and Never, with the address in the text and never the secret, nor
    ``hide``, another one."""

    def __init__(
        self, url: str, secret: str, *, hide: str = "", verify_tls: bool, request_s: float
    ) -> None:
        self._url = url.rstrip("/")
        self._secret = secret
        self._hidden = [text for text in (secret, hide) if text]
        self._verify_tls = verify_tls
        self._timeout = aiohttp.ClientTimeout(total=request_s)
        self._connections = 0
        self._registered_on = 0
        self._kept = False  # the last answer left the connection open
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Orchestrator:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._count)
        # ssl=False is aiohttp's word for "any certificate"; it is True unless the user says so
        connector = aiohttp.TCPConnector(
            limit=1, keepalive_timeout=_KEEP_S, ssl=bool(self._verify_tls)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            trace_configs=[trace],
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def register(self, capability: Capability, capacity: int) -> None:
        """Also replaces what was registered under this name."""
        status, text = await self._call("POST", REGISTER, json=capability.body(capacity))
        self._check(status, text)
        self._registered_on = self._connections

    async def unregister(self, name: str) -> None:
        """No error when nothing was registered; the orchestrator does not tell."""
        status, text = await self._call("POST", UNREGISTER, data=name.encode())
        self._check(status, text)

    async def may_be_another(self) -> bool:
        """Whether it may have been restarted since the last registration. Asks it something."""
        was_kept = self._kept
        status, text = await self._call("GET", REGISTER)
        if status not in _UP:
            self._check(status, text)
        return was_kept and self._connections != self._registered_on

    async def _call(self, method: str, path: str, **body: Any) -> tuple[int, str]:
        assert self._session is not None
        try:
            # A redirect is not followed: it would take the secret along.
            async with self._session.request(
                method,
                self._url + path,
                headers={"Authorization": self._secret} if method == "POST" else None,
                allow_redirects=False,
                **body,
            ) as reply:
                raw = b""
                async for data in reply.content.iter_any():
                    raw += data
                    if len(raw) > _ANSWER_MAX:
                        break
                self._kept = reply.headers.get("Connection", "").lower() != "close"
                return reply.status, raw[:_ANSWER_MAX].decode("utf-8", "replace")
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError) as error:
            raise Never(
                f"{self._url}: its certificate does not verify: {error}"
                " (SSL_CERT_FILE names one to trust; --insecure trusts any)"
            ) from error
        except asyncio.TimeoutError as error:
            raise NotNow(f"{self._url}: no answer within {self._timeout.total:g} s") from error
        except aiohttp.ServerDisconnectedError as error:
            raise NotNow(
                f"{self._url}: it closed the connection without an answer"
                " (go-livepeer does that, too, for a currency that it has no price feed for)"
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise Away(f"{self._url}: cannot connect: {in_words(error)}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NotNow(f"{self._url}: {in_words(error)}") from error

    def _check(self, status: int, text: str) -> None:
        for hidden in self._hidden:  # some server might repeat what it was sent
            text = text.replace(hidden, "***")
        try:
            check_answer(status, text)
        except (NotNow, Never) as error:
            raise type(error)(f"{self._url} answers {error}") from None

    async def _count(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, _: Any
    ) -> None:
        self._connections += 1
