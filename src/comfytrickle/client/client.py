"""A client of one control plane for scripts and notebooks: AsyncClient without await."""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Iterator
from typing import Any

from comfytrickle.calls import DEFAULT_URL, TIMEOUT_S
from comfytrickle.client.async_client import AsyncClient
from comfytrickle.client.loop_thread import LoopThread
from comfytrickle.client.server_events import Event
from comfytrickle.client.stream import Stream
from comfytrickle.client.workflow_file import WorkflowSource


class Client:
    """The calls of :class:`AsyncClient`, blocking, also where another loop runs (a notebook): its
    own one runs in a thread of its own.

    Used inside ``with``, or closed by ``close``; one that is forgotten is closed when it is
    collected, or the program ends. Threads may share it.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._client = AsyncClient(url, token, timeout=timeout, ssl_context=ssl_context)
        self._thread = LoopThread(at_end=self._client.close)
        self._closer = weakref.finalize(self, self._thread.close)

    @property
    def url(self) -> str:
        return self._client.url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections, cameras' and pictures' too, and its thread. Streams go on."""
        self._closer()

    def start(
        self, workflow: WorkflowSource = None, *, stream_id: str | None = None, **more: Any
    ) -> Stream:
        """Start a stream; ``more``: channels and params, as of :meth:`AsyncClient.start`."""
        started = self._thread.run(self._client.start(workflow, stream_id=stream_id, **more))
        return Stream(self, self._thread, started)

    def stream(self, stream_id: str) -> Stream:
        """One that runs already. Nothing is asked yet."""
        return Stream(self, self._thread, self._client.stream(stream_id))

    def list(self, ended: bool = False) -> dict[str, dict[str, Any]]:
        """The status of each stream by its id; ``ended``: also of those that ended lately."""
        return self._thread.run(self._client.list(ended))

    def validate(self, workflow: WorkflowSource, engine: str | None = None) -> dict[str, Any]:
        """Whether a workflow can run: ``valid``, ``error``, ``node_errors``, ``converted``."""
        return self._thread.run(self._client.validate(workflow, engine))

    def nodes(self, engine: str | None = None) -> dict[str, dict[str, Any]]:
        """Every node type by its name, in the shape of ComfyUI's ``/object_info``."""
        return self._thread.run(self._client.nodes(engine))

    def health(self) -> dict[str, Any]:
        """Of the control plane: ``status``, ``slots``, ``devices``, ..."""
        return self._thread.run(self._client.health())

    def events(self) -> Iterator[Event]:
        """How all streams go, as they change, until the control plane ends."""
        yield from self._thread.iterate(self._client.events())

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Any other call of docs/api.md: ``request("GET", "/quarantine")``."""
        return self._thread.run(self._client.request(method, path, body))
