"""A small blocking client of the control plane's HTTP API, from the standard library alone."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Refused(Exception):
    """The server answered, and said no. ``body`` is its JSON answer."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("error") or f"HTTP {status}"))
        self.status = status
        self.body = body


class Unreachable(Exception):
    """No answer, or not one of a control plane."""


class Client:
    """Calls of one control plane."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 90.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        # A proxy set for the internet must not be asked for this machine.
        local = urlsplit(url).hostname in _LOOPBACK
        handlers = [urllib.request.ProxyHandler({})] if local else []
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of the answer. Raises Refused, Unreachable."""
        with self._open(method, path, body, self._timeout) as reply:
            try:
                return json.loads(reply.read())
            except (ValueError, OSError, http.client.HTTPException) as error:
                raise Unreachable(f"{self.url}{path}: not a JSON answer: {error}") from error

    def text(self, path: str) -> Iterator[str]:
        """A text answer, line by line as it comes, however long the next one takes.

        Raises Refused, Unreachable.
        """
        with self._open("GET", path, None, timeout=None) as reply:
            try:
                for line in reply:
                    yield line.decode("utf-8", "replace")
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(f"{self.url}{path}: {error}") from error

    def _open(
        self, method: str, path: str, body: Any, timeout: float | None
    ) -> http.client.HTTPResponse:
        data = None if body is None else json.dumps(body).encode()
        headers = dict(self._headers)
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            request = urllib.request.Request(
                self.url + path, data=data, method=method, headers=headers
            )
            reply = self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, _error_body(error.read())) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(f"{self.url}: {reason}") from error
        assert isinstance(reply, http.client.HTTPResponse)
        return reply


def stream_path(stream_id: str | None, what: str) -> str:
    """The path of a stream's call; without an id, that of the only active stream."""
    middle = "" if stream_id is None else quote(stream_id, safe="") + "/"
    return f"/stream/{middle}{what}"


def _error_body(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
