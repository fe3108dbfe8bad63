"""Registering until it succeeds, keeping it registered, and taking it back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from comfytrickle.registration.keeper import Keeper
from comfytrickle.registration.orchestrator import Orchestrator
from comfytrickle.registration.pool import look, try_token
from comfytrickle.registration.shapes import Away, Capability, Never, NotNow, NotTaken, Pool
from comfytrickle.trickle.backoff import Backoff

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0
FAREWELL_S = 5.0
GIVEN_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """``capacity`` None: the pool's slots, asked at ``pool``. Times in seconds."""

    orchestrator: str
    secret: str
    capability: Capability
    pool: str
    capacity: int | None = None
    verify_tls: bool = True
    request_s: float = 10.0
    every_s: float = 10.0
    refresh_s: float = 300.0


class Registration:
    """One capability at one orchestrator. ``say`` gets a line for people about each turn.

    ``done`` is set by the first success. ``may_be_there``: the orchestrator may know it.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._stack = AsyncExitStack()
        self.done = asyncio.Event()
        self.may_be_there = False
        self.last_trouble = "no try has ended"
        self._told: int | None = None  # the capacity it has, as far as people know
        self._warned = False

    async def __aenter__(self) -> Registration:
        options = self._options
        self._orchestrator = await self._stack.enter_async_context(
            Orchestrator(
                options.orchestrator,
                options.secret,
                hide=options.capability.token,
                verify_tls=options.verify_tls,
                request_s=options.request_s,
            )
        )
        self._session = await self._stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=options.request_s))
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def once(self) -> None:
        """Returns when it is registered. Raises Never."""
        await self._until_done(self._register_once)

    async def take_back(self) -> None:
        """Returns when it is unregistered. Raises Never."""
        await self._until_done(self._unregister)

    async def farewell(self, limit_s: float) -> None:
        """As ``take_back``, within ``limit_s``. Raises Never, NotNow."""
        try:
            await asyncio.wait_for(self.take_back(), limit_s)
        except asyncio.TimeoutError:
            raise NotNow(self.last_trouble) from None

    async def keep(self) -> None:
        """Registers and looks after it for ever. Raises Never before the first success alone: what
        an orchestrator refuses that has taken it before may be mended there."""
        keeper = Keeper(self._options.capacity, self._options.refresh_s)
        backoff = _backoff()
        pool_said = ""
        while True:
            wait_s = self._options.every_s
            pool: Pool | None = None
            try:
                pool = await look(self._session, self._options.pool)
                words = "" if pool.is_open else "the pool takes no streams now"
            except NotNow as error:
                words = str(error)
            if words != pool_said:
                self._say(words or "the pool takes streams")
                pool_said = words
            if words and not self.done.is_set():
                self.last_trouble = words
            try:
                await self._tell(keeper, pool)
                backoff.reset()
            except NotNow as error:
                keeper.gone()
                wait_s = self._trouble(error, backoff)
            except Never as error:
                if not self.done.is_set():
                    raise
                keeper.gone()
                wait_s = self._trouble(error, backoff)
            await asyncio.sleep(wait_s)

    async def _tell(self, keeper: Keeper, pool: Pool | None) -> None:
        anew = keeper.registered and await self._orchestrator.may_be_another()
        if anew:
            self._told = None
        capacity = keeper.capacity(time.monotonic(), pool, anew)
        if capacity is not None and pool is not None:
            await self._examine(pool)
            await self._register(capacity)
            keeper.said(time.monotonic(), pool)
        elif keeper.is_to_go(pool):
            await self._unregister()
            keeper.gone()

    async def _register_once(self) -> None:
        capacity = self._options.capacity
        pool: Pool | None = None
        try:
            pool = await look(self._session, self._options.pool)
            await self._examine(pool)
        except NotNow:
            if capacity is None:
                raise  # else it need not be in reach from here
        if capacity is None and pool is not None:
            if not pool.is_open:
                raise NotNow("the pool takes no streams now")
            capacity = pool.total
        assert capacity is not None
        await self._register(capacity)

    async def _examine(self, pool: Pool) -> None:
        """Before the first registration: what would go wrong later. Raises Never, NotNow."""
        if self.done.is_set():
            return
        await try_token(self._session, self._options.pool, self._options.capability.token)
        capacity = self._options.capacity
        if capacity is not None and capacity > pool.total and not self._warned:
            self._warned = True
            self._say(
                f"warning: capacity {capacity} is more than the pool has slots ({pool.total})"
            )

    async def _register(self, capacity: int) -> None:
        before, self.may_be_there = self.may_be_there, True
        try:
            await self._orchestrator.register(self._options.capability, capacity)
        except (Away, NotTaken, Never):
            self.may_be_there = before
            raise
        self.done.set()
        if capacity == self._told:
            return
        self._told = capacity
        capability = self._options.capability
        self._say(
            f"registered {capability.name} at {self._options.orchestrator}:"
            f" {capability.url}, capacity {capacity}"
        )

    async def _unregister(self) -> None:
        await self._orchestrator.unregister(self._options.capability.name)
        self.may_be_there = False
        self._told = None
        self._say(f"unregistered {self._options.capability.name} at {self._options.orchestrator}")

    async def _until_done(self, attempt: Callable[[], Awaitable[None]]) -> None:
        backoff = _backoff()
        while True:
            try:
                await attempt()
                return
            except NotNow as error:
                await asyncio.sleep(self._trouble(error, backoff))

    def _trouble(self, error: NotNow | Never, backoff: Backoff) -> float:
        """Tells it; the seconds to wait before the next try."""
        self.last_trouble = str(error)
        self._told = None
        wait_s = backoff.next()
        self._say(f"{error}; again in {wait_s:.1f} s")
        return wait_s


def _backoff() -> Backoff:
    return Backoff(FIRST_WAIT_S, cap=LONGEST_WAIT_S)
