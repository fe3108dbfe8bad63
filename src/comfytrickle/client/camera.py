"""Frames to a stream, by a client without await."""

from __future__ import annotations

from comfytrickle.client.async_camera import AsyncCamera, Sent
from comfytrickle.client.loop_thread import LoopThread
from comfytrickle.client.sent_frame import Frame


class Camera:
    """The sender's place of one stream, inside ``with``; as :class:`AsyncCamera`."""

    def __init__(self, stream: object, thread: LoopThread, camera: AsyncCamera) -> None:
        self._stream = stream  # kept, and with it the client
        self._thread = thread
        self._camera = camera

    def __enter__(self) -> Camera:
        self._thread.run(self._camera.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._camera.__aexit__())

    @property
    def refused(self) -> int:
        """Frames that were accepted, but that the worker could not decode."""
        return self._camera.refused

    @property
    def refusal(self) -> str | None:
        """Why the last of them."""
        return self._camera.refusal

    def send(self, frame: Frame, pts: int | None = None, time: float | None = None) -> Sent:
        """Send a frame and wait for the answer, as :meth:`AsyncCamera.send`."""
        return self._thread.run(self._camera.send(frame, pts, time))

    def end(self) -> None:
        """No more frames come, from nobody: what is there is worked off, then the stream ends."""
        self._thread.run(self._camera.end())
