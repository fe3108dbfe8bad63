"""One stream, by a client with await."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncGenerator, Callable
from typing import Any

from comfytrickle import calls
from comfytrickle.client.async_camera import AsyncCamera
from comfytrickle.client.async_pictures import AsyncPictures
from comfytrickle.client.connection import Connection
from comfytrickle.client.ended import ended
from comfytrickle.client.text import Text
from comfytrickle.client.workflow_file import WorkflowSource, read_workflow

_LOOK_S = 0.1


class AsyncStream:
    """A handle; it holds nothing open. ``async with`` stops the stream on leaving.

    ``id``: of the stream. ``answer``: to its start; {} where it was not started here.
    """

    def __init__(
        self, connection: Connection, stream_id: str, answer: dict[str, Any] | None = None
    ) -> None:
        self.id = stream_id
        self.answer = answer or {}
        self._connection = connection

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r}>"

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def status(self) -> dict[str, Any]:
        """docs/api.md lists its fields. Raises Refused (404: not known any more)."""
        return dict(await self._connection.json(calls.status(self.id)))

    async def params(self, workflow: WorkflowSource = None, **changes: Any) -> dict[str, Any]:
        """Change it while it runs, between two frames; the answer, with its ``revision``.

        ``workflow``: as at the start. ``changes``: width, height, max_framerate, ...; what is left
        out stays. Raises Refused (400: the old workflow goes on untouched).
        """
        if workflow is not None:
            changes["prompt"] = read_workflow(workflow)
        answer = dict(await self._connection.json(calls.change(self.id, changes)))
        warn_of_ignored(answer)
        return answer

    async def running_params(self) -> dict[str, Any]:
        """What it runs with, every default written out: ``revision`` and ``params``."""
        return dict(await self._connection.json(calls.running_params(self.id)))

    async def stop(self, wait: float = calls.STOP_WAIT_S) -> dict[str, Any]:
        """Stop it; the answer when its worker is gone, or after ``wait`` seconds (0 to 60)."""
        return dict(await self._connection.json(calls.stop(self.id, wait)))

    async def wait_ready(self, timeout: float = 120.0) -> dict[str, Any]:
        """Its status when its workflow is loaded. Raises Ended, TimeoutError."""
        status = await self._until(lambda s: s["pipeline_ready"] or not s["running"], timeout)
        if not status["pipeline_ready"]:
            raise ended(status)
        return status

    async def wait_ended(self, timeout: float | None = None) -> dict[str, Any]:
        """Its last status. Raises TimeoutError."""
        return await self._until(lambda s: not s["running"], timeout)

    async def logs(self, tail: int = calls.TAIL) -> str:
        """The last lines of its log, 0 to 10 000."""
        return (await self._connection.bytes(calls.logs(self.id, tail))).decode("utf-8", "replace")

    async def follow_logs(self, tail: int = calls.TAIL) -> AsyncGenerator[str, None]:
        """Lines of its log, from the last ``tail`` on, until it ends."""
        text = Text(self._connection, calls.logs(self.id, tail, follow=True))
        try:
            while (line := await text.next()) is not None:
                yield line
        finally:
            text.close()

    async def snapshot(
        self, side: str = "out", width: int | None = None, quality: int | None = None
    ) -> bytes:
        """The next picture, a JPEG. Raises Refused (409: it ended, or none came within 5 s)."""
        return await self._connection.bytes(calls.snapshot(self.id, side, width, quality))

    def frames(
        self,
        side: str = "out",
        fps: float = 15.0,
        width: int | None = None,
        quality: int | None = None,
    ) -> AsyncPictures:
        """Pictures until it ends, by ``async for``; the newest ones, for a reader that is slow.

        ``side``: "in", "out" or "both". ``fps``: at most so many a second, 0.1 to 60. ``width``:
        no wider than that, 16 to 4096. ``quality`` of the JPEG: 1 to 100. Raises Refused, and
        Unreachable when the connection is lost.
        """
        return AsyncPictures(self._connection, calls.frames(self.id, side, fps, width, quality))

    def camera(self, end: bool = False) -> AsyncCamera:
        """For ``async with``: sends frames to a stream without a source channel. ``end``: the
        stream ends with it; else it waits for the next one."""
        return AsyncCamera(self._connection, calls.camera(self.id, end))

    async def _until(
        self, done: Callable[[dict[str, Any]], bool], timeout: float | None
    ) -> dict[str, Any]:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done(status := await self.status()):
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"stream {self.id!r} is {status['state']} after {timeout:g} s")
            await asyncio.sleep(_LOOK_S)
        return status


def warn_of_ignored(answer: dict[str, Any]) -> None:
    """A word that is not known is no error to the server, but mostly one to its author."""
    if answer.get("ignored"):
        warnings.warn(f"ignored by the server: {', '.join(answer['ignored'])}", stacklevel=3)
