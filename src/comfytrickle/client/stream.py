"""One stream, by a client without await."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comfytrickle.calls import STOP_WAIT_S, TAIL
from comfytrickle.client.async_stream import AsyncStream
from comfytrickle.client.camera import Camera
from comfytrickle.client.loop_thread import LoopThread
from comfytrickle.client.pictures import Pictures
from comfytrickle.client.workflow_file import WorkflowSource


class Stream:
    """A handle; ``with`` stops the stream on leaving. The calls are those of :class:`AsyncStream`,
    which says what they raise."""

    def __init__(self, client: object, thread: LoopThread, stream: AsyncStream) -> None:
        self._client = client  # kept, or it would be closed while this is in use
        self._thread = thread
        self._stream = stream
        self.id = stream.id
        self.answer = stream.answer

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id!r}>"

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def status(self) -> dict[str, Any]:
        """docs/api.md lists its fields."""
        return self._thread.run(self._stream.status())

    def params(self, workflow: WorkflowSource = None, **changes: Any) -> dict[str, Any]:
        """Change it while it runs, between two frames; the answer, with its ``revision``."""
        return self._thread.run(self._stream.params(workflow, **changes))

    def running_params(self) -> dict[str, Any]:
        """What it runs with, every default written out: ``revision`` and ``params``."""
        return self._thread.run(self._stream.running_params())

    def stop(self, wait: float = STOP_WAIT_S) -> dict[str, Any]:
        """Stop it; the answer when its worker is gone, or after ``wait`` seconds (0 to 60)."""
        return self._thread.run(self._stream.stop(wait))

    def wait_ready(self, timeout: float = 120.0) -> dict[str, Any]:
        """Its status when its workflow is loaded. Raises Ended, TimeoutError."""
        return self._thread.run(self._stream.wait_ready(timeout))

    def wait_ended(self, timeout: float | None = None) -> dict[str, Any]:
        """Its last status. Raises TimeoutError."""
        return self._thread.run(self._stream.wait_ended(timeout))

    def logs(self, tail: int = TAIL) -> str:
        """The last lines of its log, 0 to 10 000."""
        return self._thread.run(self._stream.logs(tail))

    def follow_logs(self, tail: int = TAIL) -> Iterator[str]:
        """Lines of its log, from the last ``tail`` on, until it ends."""
        yield from self._thread.iterate(self._stream.follow_logs(tail))

    def snapshot(
        self, side: str = "out", width: int | None = None, quality: int | None = None
    ) -> bytes:
        """The next picture, a JPEG."""
        return self._thread.run(self._stream.snapshot(side, width, quality))

    def frames(
        self,
        side: str = "out",
        fps: float = 15.0,
        width: int | None = None,
        quality: int | None = None,
    ) -> Pictures:
        """Pictures until it ends, by ``for``; the newest ones, for a reader that is slow."""
        pictures = self._stream.frames(side, fps, width, quality)
        return Pictures(self, self._thread, pictures)

    def camera(self, end: bool = False) -> Camera:
        """For ``with``: sends frames to a stream without a source channel."""
        return Camera(self, self._thread, self._stream.camera(end))
