"""Keeps some workers ready: process forked, device pinned, engine built, perhaps models loaded.

A stream that starts, or is restarted, takes one for its device, and the pool makes the next. With
the embedded engine that saves milliseconds; with one that imports and loads for seconds, those.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from comfytrickle.errors import WorkerError
from control_plane.engines.recipes import Need, Recipe, misfit
from control_plane.placement.devices import Device
from control_plane.processes.worker import Worker
from control_plane.waiting import happens_within

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
_LOOK_EVERY_S = 5.0

MakeWarm = Callable[[Recipe, Device, int], Worker]


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


@dataclass(frozen=True, slots=True)
class Stored:
    """A worker in store: what it has ready, and where."""

    recipe: Recipe
    pin: str
    worker: Worker


class WarmPool:
    """``size`` workers in store for each recipe. Owns them until they are taken, and the task that
    makes them."""

    def __init__(
        self,
        size: int,
        recipes: Sequence[Recipe],
        make: MakeWarm,
        devices: Callable[[], list[Device]],
        used: Callable[[], dict[str, int]],
    ) -> None:
        self._size = size
        self._recipes = list(recipes)
        self._make = make
        self._devices = devices
        self._used = used
        self._numbers = itertools.count(1)
        self._store: list[Stored] = []
        self._wanted = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self.last_errors: dict[Recipe, str] = {}  # of those that cannot be made at present

    def ready(self, recipe: Recipe | None = None) -> int:
        """How many can be taken now, of one recipe or of all."""
        return sum(
            stored.worker.exit_cause is None and recipe in (None, stored.recipe)
            for stored in self._store
        )

    def report(self) -> list[dict[str, object]]:
        """For each recipe: what, how many of how many, and what is in the way."""
        return [
            {
                "engine": recipe.engine,
                "workflow": recipe.digest,
                "size": list(recipe.size) if recipe.size else None,
                "ready": self.ready(recipe),
                "wanted": self._size,
                "last_error": self.last_errors.get(recipe),
            }
            for recipe in self._recipes
            if self._size
        ]

    def begin(self) -> None:
        if self._size and not self._keepers:
            # Side by side: one that cannot be made must not keep the others waiting.
            self._keepers = [asyncio.create_task(self._keep(r)) for r in self._recipes]

    def take(self, env: dict[str, str], need: Need) -> Worker | None:
        """The living one that fits best of those pinned alike, the caller's from now on; None:
        there is none."""
        self._bury()
        fits = [
            (distance, n)
            for n, stored in enumerate(self._store)
            if stored.pin == pin(env) and (distance := misfit(stored.recipe, need)) is not None
        ]
        if not fits:
            return None
        _, best = min(fits)  # the oldest of those that fit alike
        self._wanted.set()
        return self._store.pop(best).worker

    async def close(self) -> None:
        """End what is in store. Idempotent."""
        keepers, self._keepers = self._keepers, []
        for keeper in keepers:
            keeper.cancel()
        if keepers:
            await asyncio.wait(keepers)
        store, self._store = self._store, []
        await asyncio.gather(*(stored.worker.stop("the pool closes") for stored in store))

    def _bury(self) -> None:
        for stored in [s for s in self._store if s.worker.exit_cause is not None]:
            cause = stored.worker.exit_cause
            log.warning("warm worker %s has ended: %s", stored.worker.name, cause)
            self._store.remove(stored)

    async def _keep(self, recipe: Recipe) -> None:
        pause = FIRST_PAUSE_S
        while True:
            self._wanted.clear()
            device = self._lacking(recipe)
            if device is None:
                await happens_within(self._wanted, _LOOK_EVERY_S)  # slots come and go unsaid
                continue
            worker = self._make(recipe, device, next(self._numbers))
            try:
                await worker.warm_up()
            except WorkerError as error:
                self.last_errors[recipe] = str(error)
                log.error("warm pool (%s): %s; next attempt in %g s", recipe, error, pause)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)
                continue
            except asyncio.CancelledError:
                worker.kill()
                raise
            self.last_errors.pop(recipe, None)
            pause = FIRST_PAUSE_S
            self._store.append(Stored(recipe, pin(device.env), worker))
            watch = asyncio.ensure_future(worker.wait_exited())
            watch.add_done_callback(lambda _: self._wanted.set())  # one in store may die
            log.info(
                "warm worker %s (%s) for %s (pid %s)", worker.name, recipe, device.id, worker.pid
            )

    def _lacking(self, recipe: Recipe) -> Device | None:
        self._bury()
        warm: dict[str, int] = {}
        for stored in self._store:
            if stored.recipe == recipe:
                warm[stored.pin] = warm.get(stored.pin, 0) + 1
        if sum(warm.values()) >= self._size:
            return None
        return choose(self._devices(), self._used(), warm)
