"""The aiohttp session for trickle clients: no timeouts on silence, keepalive on the sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

# A long poll has neither a total timeout nor one on silence; only the connect is bounded.
LONG_POLL = aiohttp.ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=10.0)
# Requests that a server answers at once.
SHORT = aiohttp.ClientTimeout(total=10.0)

# What can happen to a request on its way, none of it an answer.
TRANSPORT_ERRORS = (
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
    aiohttp.ClientResponseError,  # the answer is not HTTP
    HttpProcessingError,
    asyncio.TimeoutError,  # not yet the builtin in Python 3.10
    ConnectionError,
)

NO_TLS = "the server speaks no TLS there (is it http:// instead of https://?)"
# OpenSSL's words for an answer that is no TLS record, of different versions
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})


def in_words(error: BaseException) -> str:
    """A transport error for a status or a log; some of them have a type and nothing else."""
    return NO_TLS if speaks_no_tls(error) else str(error) or type(error).__name__


def speaks_no_tls(error: BaseException) -> bool:
    """Whether https:// met a server that answers in plain text."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS


KEEPALIVE_IDLE_S = 10
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
# Keepalive probes are not sent while data is unacknowledged; this bounds that case alike.
USER_TIMEOUT_MS = (KEEPALIVE_IDLE_S + KEEPALIVE_INTERVAL_S * KEEPALIVE_COUNT) * 1000


def keepalive_socket(addr_info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket on which a peer that is gone without a word is noticed within about 25 s.

    Silence is no error in trickle, so this is the only thing that tells a quiet channel from a
    half-open connection.
    """
    family, kind, proto = addr_info[:3]
    sock = socket.socket(family=family, type=kind, proto=proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {  # names as Linux has them; other systems lack some
        "TCP_KEEPIDLE": KEEPALIVE_IDLE_S,
        "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_S,
        "TCP_KEEPCNT": KEEPALIVE_COUNT,
        "TCP_USER_TIMEOUT": USER_TIMEOUT_MS,
    }
    for name, value in options.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


def open_session(
    *, verify_tls: bool = True, ssl_context: ssl.SSLContext | None = None
) -> aiohttp.ClientSession:
    """A session for :class:`Subscriber` and :class:`Publisher`; the caller closes it.

    There is no limit on connections: each channel holds one or two for as long as it lives.
    ``ssl_context`` (a private CA, a client certificate) goes before ``verify_tls``.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        ssl=ssl_context if ssl_context is not None else verify_tls,
        socket_factory=keepalive_socket,
    )
    return aiohttp.ClientSession(connector=connector, timeout=LONG_POLL)
