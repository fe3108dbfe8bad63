"""One inspector for each engine: what one engine's nodes do to theirs is not felt by the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from comfytrickle.messages import EngineConfig
from control_plane.engines.engines import Engines
from control_plane.engines.inspector import Inspector
from control_plane.processes.worker import Worker


class Inspectors:
    """Owns them. By the name of their engine."""

    def __init__(
        self,
        engines: Engines,
        make_worker: Callable[[EngineConfig], Worker],
        question_timeout_s: float,
    ) -> None:
        self._engines = engines
        self._by_name: Mapping[str, Inspector] = {
            engine.name: Inspector(partial(make_worker, engine), question_timeout_s)
            for engine in engines
        }

    def of(self, engine: str) -> Inspector:
        return self._by_name[engine]

    @property
    def default(self) -> Inspector:
        """That of the engine which streams get that name none."""
        return self._by_name[self._engines.default]

    def items(self) -> list[tuple[str, Inspector]]:
        return list(self._by_name.items())

    def workers(self) -> list[Worker]:
        return [i.worker for i in self._by_name.values() if i.worker is not None]

    def begin(self) -> None:
        for inspector in self._by_name.values():
            inspector.begin()

    async def close(self) -> None:
        await asyncio.gather(*(inspector.close() for inspector in self._by_name.values()))
