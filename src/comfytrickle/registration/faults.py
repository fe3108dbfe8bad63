"""Errors of the network in a few words."""

from __future__ import annotations

import os

import aiohttp

from comfytrickle.trickle.client_session import NO_TLS, speaks_no_tls


def in_words(error: BaseException) -> str:
    """Without aiohttp's account of address and TLS, which the caller's line has already."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if speaks_no_tls(error):
        return NO_TLS
    if isinstance(error, aiohttp.ClientSSLError):  # its number is OpenSSL's, no errno
        return str(error.os_error)
    if isinstance(error, aiohttp.ClientConnectorError) and (error.os_error.errno or 0) > 0:
        return os.strerror(error.os_error.errno or 0)
    return str(error) or type(error).__name__
