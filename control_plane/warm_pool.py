"""Keeps some workers ready: process forked, device pinned, engine built, perhaps models loaded.

A stream that starts, or is restarted, takes one for its device, and the pool makes the next. With
the embedded engine that saves milliseconds; with one that imports and loads for seconds, those.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

from comfytrickle.errors import WorkerError
from control_plane.devices import Device
from control_plane.worker import Worker

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
_LOOK_EVERY_S = 5.0

MakeWarm = Callable[[Device, int], Worker]


def pin(env: dict[str, str]) -> str:
    """What a worker's environment pins it to. CPU slots are all alike, so any worker fits any."""
    return env.get("CUDA_VISIBLE_DEVICES", "")


def choose(devices: list[Device], used: dict[str, int], warm: dict[str, int]) -> Device | None:
    """For which device the next one is made: where most free slots have no warm worker yet. None:
    every free slot has one. Pure. ``used``: slots by device id; ``warm``: workers by pin."""
    lacking: dict[str, int] = {}
    for device in devices:
        free = device.slots - used.get(device.id, 0)
        lacking[pin(device.env)] = lacking.get(pin(device.env), 0) + free
    for key, count in warm.items():
        lacking[key] = lacking.get(key, 0) - count
    best = max(devices, key=lambda device: lacking[pin(device.env)], default=None)
    return best if best is not None and lacking[pin(best.env)] > 0 else None


class WarmPool:
    """``size`` workers in store. Owns them until they are taken, and the task that makes them."""

    def __init__(
        self,
        size: int,
        make: MakeWarm,
        devices: Callable[[], list[Device]],
        used: Callable[[], dict[str, int]],
    ) -> None:
        self._size = size
        self._make = make
        self._devices = devices
        self._used = used
        self._numbers = itertools.count(1)
        self._store: list[tuple[str, Worker]] = []  # with its pin
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.last_error: str | None = None

    @property
    def ready(self) -> int:
        """How many can be taken now."""
        return sum(worker.exit_cause is None for _, worker in self._store)

    def begin(self) -> None:
        if self._size and self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())

    def take(self, env: dict[str, str]) -> Worker | None:
        """A living one that is pinned alike, the caller's from now on; None: there is none."""
        self._bury()
        for entry in self._store:
            if entry[0] == pin(env):
                self._store.remove(entry)
                self._wanted.set()
                return entry[1]
        return None

    async def close(self) -> None:
        """End what is in store. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        store, self._store = self._store, []
        await asyncio.gather(*(worker.stop("the pool closes") for _, worker in store))

    def _bury(self) -> None:
        dead = [entry for entry in self._store if entry[1].exit_cause is not None]
        for entry in dead:
            log.warning("warm worker %s has ended: %s", entry[1].name, entry[1].exit_cause)
            self._store.remove(entry)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            self._wanted.clear()
            device = self._lacking()
            if device is None:
                try:  # slots come and go without a word
                    await asyncio.wait_for(self._wanted.wait(), _LOOK_EVERY_S)
                except asyncio.TimeoutError:
                    pass
                continue
            worker = self._make(device, next(self._numbers))
            try:
                await worker.warm_up()
            except WorkerError as error:
                self.last_error = str(error)
                log.error("warm pool: %s; next attempt in %g s", error, pause)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)
                continue
            except asyncio.CancelledError:
                worker.kill()
                raise
            self.last_error, pause = None, FIRST_PAUSE_S
            self._store.append((pin(device.env), worker))
            watch = asyncio.ensure_future(worker.wait_exited())
            watch.add_done_callback(lambda _: self._wanted.set())  # one in store may die
            log.info("warm worker %s for %s (pid %s)", worker.name, device.id, worker.pid)

    def _lacking(self) -> Device | None:
        self._bury()
        if len(self._store) >= self._size:
            return None
        warm: dict[str, int] = {}
        for key, _ in self._store:
            warm[key] = warm.get(key, 0) + 1
        return choose(self._devices(), self._used(), warm)
