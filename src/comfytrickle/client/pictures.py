"""Pictures of a stream, by a client without await."""

from __future__ import annotations

from collections.abc import Iterator

from comfytrickle.client.async_pictures import AsyncPictures
from comfytrickle.client.loop_thread import LoopThread
from comfytrickle.client.picture import Picture


class Pictures:
    """``for`` connects and gives pictures until the stream ends. ``with`` connects at once, so
    that what is sent from then on is seen; the last few wait for the ``for`` in it."""

    def __init__(self, stream: object, thread: LoopThread, pictures: AsyncPictures) -> None:
        self._stream = stream  # kept, and with it the client
        self._thread = thread
        self._pictures = pictures

    def __enter__(self) -> Pictures:
        self._thread.run(self._pictures.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.run(self._pictures.__aexit__())

    def __iter__(self) -> Iterator[Picture]:
        # Through self: it holds the client for as long as somebody iterates.
        yield from self._thread.iterate(self._pictures.__aiter__())
