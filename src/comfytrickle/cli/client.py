"""A small blocking way to send the API's calls, from the standard library alone.

The sync :class:`comfytrickle.client.Client` could do it, too, but importing aiohttp takes longer
(0.2 to 0.4 s here) than all of ``comfytrickle status`` (0.1 s). The calls and the errors are the
same ones.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from comfytrickle.calls import TIMEOUT_S, Call, Refused, Unreachable, error_body, is_local


class Client:
    """Calls of one control plane."""

    def __init__(self, url: str, token: str | None = None, timeout: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        handlers = [urllib.request.ProxyHandler({})] if is_local(url) else []
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, call: Call) -> Any:
        """The JSON of the answer. Raises Refused, Unreachable."""
        with self._open(call, self._timeout) as reply:
            try:
                return json.loads(reply.read())
            except (ValueError, OSError, http.client.HTTPException) as error:
                raise Unreachable(f"{self.url}{call.path}: not a JSON answer: {error}") from error

    def text(self, call: Call) -> Iterator[str]:
        """A text answer, line by line as it comes, however long the next one takes.

        Raises Refused, Unreachable.
        """
        with self._open(call, timeout=None) as reply:
            try:
                for line in reply:
                    yield line.decode("utf-8", "replace")
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(f"{self.url}{call.path}: {error}") from error

    def _open(self, call: Call, timeout: float | None) -> http.client.HTTPResponse:
        data = None if call.body is None else json.dumps(call.body).encode()
        headers = dict(self._headers)
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            request = urllib.request.Request(
                self.url + call.path, data=data, method=call.method, headers=headers
            )
            reply = self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, error_body(error.read())) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            hint = " (./scripts/launch_pool.sh starts one; --url names another)"
            raise Unreachable(f"{self.url}: {reason}{hint}") from error
        assert isinstance(reply, http.client.HTTPResponse)
        return reply
