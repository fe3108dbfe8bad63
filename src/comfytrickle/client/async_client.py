"""A client of one control plane, with await."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from typing import Any

from comfytrickle import calls
from comfytrickle.calls import DEFAULT_URL, TIMEOUT_S, Call, Unreachable
from comfytrickle.client.async_stream import AsyncStream, warn_of_ignored
from comfytrickle.client.connection import Connection
from comfytrickle.client.server_events import Event, Events
from comfytrickle.client.text import Text
from comfytrickle.client.workflow_file import WorkflowSource, read_workflow

_SILENCE_S = 30.0  # there is a comment every ten seconds


class AsyncClient:
    """Used inside ``async with``, or closed by ``close``. All calls raise Refused, Unreachable.

    ``token``: the server's, if it has one. ``timeout``: seconds for each answer. ``ssl_context``:
    for https with a certificate of one's own.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        timeout: float = TIMEOUT_S,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._connection = Connection(url, token, timeout, ssl_context)

    @property
    def url(self) -> str:
        return self._connection.url

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections; those of cameras and pictures, too. Streams go on."""
        await self._connection.close()

    async def start(
        self,
        workflow: WorkflowSource = None,
        *,
        stream_id: str | None = None,
        subscribe_url: str | None = None,
        publish_url: str | None = None,
        control_url: str | None = None,
        events_url: str | None = None,
        data_url: str | None = None,
        **params: Any,
    ) -> AsyncStream:
        """Start a stream; it loads its workflow when this returns.

        ``workflow``: the path of a file in API format, or the workflow itself; None: pass-through.
        ``stream_id`` None: the server makes one. Without ``subscribe_url`` it takes frames from a
        camera, without ``publish_url`` nothing is encoded. ``params``: width, height,
        max_framerate, drop, ...: docs/api.md. Raises Refused: 400 (``field``, ``node_errors``), 409
        (the id runs something else; ``story`` of a workflow in quarantine), 503 (``retry_after``).
        """
        call = calls.start(
            {"prompt": read_workflow(workflow), **params},
            stream_id,
            subscribe_url=subscribe_url,
            publish_url=publish_url,
            control_url=control_url,
            events_url=events_url,
            data_url=data_url,
        )
        answer = dict(await self._connection.json(call))
        warn_of_ignored(answer)
        return AsyncStream(self._connection, answer["request_id"], answer)

    def stream(self, stream_id: str) -> AsyncStream:
        """One that runs already. Nothing is asked yet."""
        return AsyncStream(self._connection, stream_id)

    async def list(self, ended: bool = False) -> dict[str, dict[str, Any]]:
        """The status of each stream by its id; ``ended``: also of those that ended lately."""
        return dict((await self._connection.json(calls.streams(ended)))["streams"])

    async def validate(self, workflow: WorkflowSource, engine: str | None = None) -> dict[str, Any]:
        """Whether a workflow can run: ``valid``, ``error``, ``node_errors``, ``converted``."""
        call = calls.validate(read_workflow(workflow), engine)
        return dict(await self._connection.json(call))

    async def nodes(self, engine: str | None = None) -> dict[str, dict[str, Any]]:
        """Every node type by its name, in the shape of ComfyUI's ``/object_info``."""
        return dict(await self._connection.json(calls.nodes(engine)))

    async def health(self) -> dict[str, Any]:
        """Of the control plane: ``status``, ``slots``, ``devices``, ..."""
        return dict(await self._connection.json(Call("GET", "/health")))

    async def events(self) -> AsyncGenerator[Event, None]:
        """How all streams go, as they change, until the control plane ends."""
        text, events = Text(self._connection, Call("GET", "/events"), _SILENCE_S), Events()
        try:
            while (line := await text.next()) is not None:
                try:
                    event = events.feed(line)
                except ValueError as error:
                    raise Unreachable(f"{self.url}/events: not an event: {error}") from error
                if event is not None:
                    yield event
        finally:
            text.close()

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Any other call of docs/api.md: ``request("GET", "/quarantine")``."""
        return await self._connection.json(Call(method, path, body))
