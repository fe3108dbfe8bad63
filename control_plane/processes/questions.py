"""Questions to a worker that are waiting for their answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from comfytrickle import messages as m
from comfytrickle.errors import WorkerError


class Questions:
    """Of one worker. ``explain`` says in words, with the best-known reason, what went wrong."""

    def __init__(self, timeout_s: float, explain: Callable[[str], str]) -> None:
        self._timeout = timeout_s
        self._explain = explain
        self._waiting: dict[tuple[str, int], asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)

    def new_id(self) -> int:
        return next(self._ids)

    @property
    def is_loading(self) -> bool:
        """The worker has been told to change, and has not said yet that it has."""
        return any(kind == "params" for kind, _ in self._waiting)

    async def ask(
        self,
        send: Callable[[m.Message], bool],
        question: m.Message,
        timeout_s: float | None = None,
    ) -> Any:
        """Send it and wait for what is answered to it. Raises WorkerError when nothing is."""
        timeout_s = timeout_s or self._timeout
        key = _key(question)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        try:
            if not send(question):
                raise WorkerError(self._explain("does not read what it is sent"))
            return await asyncio.wait_for(future, timeout_s)
        except asyncio.TimeoutError:
            raise WorkerError(self._explain(f"did not answer in {timeout_s:g} s")) from None
        finally:
            del self._waiting[key]

    def answered(self, message: m.Message) -> None:
        """An answer came; too late perhaps, and then nobody wants it."""
        future = self._waiting.get(_key(message))
        if future is not None and not future.done():
            future.set_result(message)

    def end(self) -> None:
        """The worker has ended: nothing will be answered any more."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(WorkerError(self._explain("ended before it answered")))


def _key(message: m.Message) -> tuple[str, int]:
    """What a question and its answer have in common."""
    if isinstance(message, m.UpdateParams | m.ParamsApplied | m.ParamsRejected):
        return "params", message.revision
    if isinstance(message, m.Inspect | m.Describe | m.Inspected | m.Described):
        return "call", message.call_id
    raise TypeError(f"{type(message).__name__} is neither a question nor an answer")
