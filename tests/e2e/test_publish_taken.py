"""A second publisher on a channel: refused, and the first one does not even notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from comfytrickle.trickle import writers
from comfytrickle.trickle.handlers import replies
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.server import TrickleServer
from tests.e2e.test_publish_pull import Command, server  # noqa: F401 - a fixture

SMALL = ("--size", "192x128")
WORD = "somebody publishes to this channel already"


@asynccontextmanager
async def publisher(url: str, *, preconnect: bool = True) -> AsyncIterator[Publisher]:
    async with (
        aiohttp.ClientSession() as session,
        Publisher(session, url, delete_on_close=False, preconnect=preconnect) as made,
    ):
        yield made


async def state(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/next") as reply:
        return reply.status


async def test_a_second_publisher_is_refused_and_the_first_goes_on(
    server: TrickleServer,  # noqa: F811
) -> None:
    url = f"{server.url}clip"
    async with Command("publish", "testsrc", url, *SMALL, "--json") as first:
        await first.line("frames")
        async with Command("publish", "testsrc", url, *SMALL, "--frames", "5") as second:
            status, _, err = await second.end()
        assert status == 1 and WORD in err and "Traceback" not in err
        await first.line("frames")
        assert await state(url) == 200, "it ended the channel"
        assert first.process.returncode is None


async def test_a_channel_that_nobody_writes_is_used_and_ended(
    server: TrickleServer,  # noqa: F811
) -> None:
    url = f"{server.url}clip"
    async with publisher(url, preconnect=False) as other:
        await other.begin()
        await other.write(b"x" * 188)
        await other.end()
    async with aiohttp.ClientSession() as session:
        assert await writers.look(session, url) == writers.Occupancy(True, False, True)
    async with Command("publish", "testsrc", url, *SMALL, "--frames", "5") as command:
        assert (await command.end())[0] == 0
    assert await state(url) == 404


@pytest.mark.parametrize("wrote", [False, True])
async def test_a_publisher_that_is_between_two_bytes_counts(
    server: TrickleServer,  # noqa: F811
    wrote: bool,
) -> None:
    url = f"{server.url}clip"
    async with publisher(url) as other, aiohttp.ClientSession() as session:
        if wrote:
            await other.begin()
            await other.write(b"x" * 188)
        found = await writers.look(session, url)
        while not found.written:  # its POST is on the way
            await asyncio.sleep(0.01)
            found = await writers.look(session, url)
        assert found == writers.Occupancy(exists=True, written=True, certain=True)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not say who writes, as others do not."""
    tells = replies.next_number

    def next_number(number: int, _writers: int | None) -> web.Response:
        return tells(number, None)

    monkeypatch.setattr(replies, "next_number", next_number)


@pytest.mark.usefixtures("silent")
async def test_where_the_server_does_not_say_it_is_watched(
    server: TrickleServer,  # noqa: F811
) -> None:
    url = f"{server.url}clip"
    async with publisher(url, preconnect=False) as other:
        await other.begin()
        await other.write(b"x" * 188)
        async with aiohttp.ClientSession() as session:
            # An open segment alone proves nothing: its publisher may have died.
            assert await writers.look(session, url) == writers.Occupancy(True, False, False)

            async def go_on() -> None:
                while True:
                    await other.write(b"x" * 188)
                    await asyncio.sleep(0.05)

            going = asyncio.create_task(go_on())
            try:
                assert await writers.look(session, url) == writers.Occupancy(True, True, False)
            finally:
                going.cancel()
                await asyncio.wait({going})
    async with Command("publish", "testsrc", url, *SMALL, "--frames", "5") as command:
        assert (await command.end())[0] == 0
    assert await state(url) == 200, "it deleted what it had not made"


async def test_force_publishes_all_the_same_and_leaves_the_channel(
    server: TrickleServer,  # noqa: F811
) -> None:
    url = f"{server.url}clip"
    async with publisher(url) as other:
        await other.begin()
        await other.write(b"x" * 188)
        async with Command(
            "publish", "testsrc", url, *SMALL, "--frames", "5", "--force"
        ) as command:
            assert (await command.end())[0] == 0
        assert await state(url) == 200
