"""A registration in this process: what it tries first, what it says, what it takes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from comfytrickle.cli import exits, register
from comfytrickle.cli.main import make_parser
from comfytrickle.registration.run import Options, Registration
from comfytrickle.registration.shapes import Capability, Never
from tests.support.orchestrator import (
    SECRET,
    TOKEN,
    FakeOrchestrator,
    FakePool,
    plain_server,
    serving,
    until,
)


@dataclass
class Place:
    orchestrator: FakeOrchestrator
    pool: FakePool
    options: Options
    said: list[str]

    def registration(self, **changes: object) -> Registration:
        return Registration(replace(self.options, **changes), self.said.append)  # type: ignore[arg-type]


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    orchestrator, pool = FakeOrchestrator(), FakePool()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(orchestrator.app()))
        pool_url = await stack.enter_async_context(serving(pool.app()))
        capability = Capability("comfy", "http://pool:8889", token=TOKEN)
        options = Options(url, SECRET, capability, pool_url, request_s=5, every_s=0.05)
        try:
            yield Place(orchestrator, pool, options, [])
        finally:
            orchestrator.release.set()


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(
    ("token", "words"), [("wrong", "does not take this token"), ("", "--token")]
)
async def test_a_token_that_the_pool_refuses_is_never_registered(
    place: Place, kept: bool, token: str, words: str
) -> None:
    place.pool.token = TOKEN
    capability = replace(place.options.capability, token=token)
    async with place.registration(capability=capability) as registration:
        with pytest.raises(Never, match=words):
            await (registration.keep() if kept else registration.once())
    assert place.orchestrator.calls == []


async def test_the_right_token_and_more_capacity_than_slots(place: Place) -> None:
    place.pool.token = TOKEN
    async with place.registration(capacity=9) as registration:
        await registration.once()
    assert place.said[0] == "warning: capacity 9 is more than the pool has slots (4)"
    assert place.orchestrator.capabilities["comfy"]["capacity"] == 9
    async with place.registration(capacity=4) as registration:
        await registration.once()
    assert sum("warning" in line for line in place.said) == 1


async def test_with_a_capacity_the_pool_need_not_be_in_reach(place: Place) -> None:
    async with place.registration(capacity=2, pool="http://127.0.0.1:9") as registration:
        await registration.once()
    assert place.orchestrator.capabilities["comfy"]["capacity"] == 2


async def test_a_server_that_says_200_to_everything_is_no_orchestrator(place: Place) -> None:
    place.orchestrator.trouble = [(200, "<html>Welcome</html>")]
    async with place.registration() as registration:
        with pytest.raises(Never, match="answers 200 <html>Welcome</html>"):
            await registration.once()
        assert not registration.done.is_set() and not registration.may_be_there


async def test_https_to_a_server_without_tls(place: Place) -> None:
    with plain_server() as port:
        async with place.registration(orchestrator=f"https://127.0.0.1:{port}") as registration:
            work = asyncio.ensure_future(registration.once())
            await until(lambda: place.said, "a line")
            work.cancel()
            await asyncio.wait({work})
        assert "cannot connect: the server speaks no TLS there" in place.said[0]
        assert not registration.may_be_there


async def test_only_changes_are_said_while_it_is_told_again_and_again(place: Place) -> None:
    place.pool.free = 3
    async with place.registration() as registration:
        work = asyncio.ensure_future(registration.keep())
        await until(lambda: place.orchestrator.capabilities, "the first registration")
        place.pool.draining = True
        await until(lambda: len(place.orchestrator.registrations) >= 4, "capacity 0, repeated")
        place.pool.draining = False
        await until(lambda: place.orchestrator.capabilities["comfy"]["capacity"] == 3, "open again")
        await until(lambda: place.said[-1].endswith("capacity 3"), "said")
        work.cancel()
        await asyncio.wait({work})
    told = [line.rpartition("capacity ")[2] for line in place.said if "registered" in line]
    assert told == ["3", "0", "3"]


async def test_what_was_answered_with_a_no_is_not_taken_back(place: Place) -> None:
    place.orchestrator.trouble = [(503, "not now")]
    async with place.registration() as registration:
        work = asyncio.ensure_future(registration.once())
        await until(lambda: place.said, "a line")
        assert not registration.may_be_there
        work.cancel()
        await asyncio.wait({work})
    assert "answers 503 not now; again in" in place.said[0]


async def test_it_says_that_it_takes_back_what_may_be_there(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.orchestrator.trouble = ["hang"]
    args = make_parser("register").parse_args(["register", "--timeout", "1"])
    assert await register._run(args, place.options) == exits.UNREACHABLE
    lines = capsys.readouterr().err.splitlines()
    assert "given up after 1 s: " in lines[0]
    assert "may have been registered all the same: unregistering, 2 s at most" in lines[1]
    assert place.orchestrator.calls[-1][1] == "/capability/unregister"
