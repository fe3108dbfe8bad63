"""The publisher: what is on the wire, and what it does when segments are closed under it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from comfytrickle.errors import TrickleError
from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.publisher import Publisher
from comfytrickle.trickle.server import TrickleServer
from comfytrickle.trickle.subscriber import Subscriber
from tests.support.channel import PATIENCE_S, Collector, publish, scripted_server, until
from tests.support.fault_proxy import Fault, FaultProxy


@asynccontextmanager
async def serving(
    *, abort_grace_s: float = 5.0, autocreate: bool = True
) -> AsyncIterator[tuple[TrickleServer, FaultProxy, aiohttp.ClientSession]]:
    server = TrickleServer(abort_grace_s=abort_grace_s, autocreate=autocreate)
    await server.start("127.0.0.1", 0)
    async with FaultProxy(server.url) as proxy, open_session() as session:
        yield server, proxy, session
        await until(lambda: not server.active, "requests of the clients are gone")
    await server.close()


class RawServer:
    """Answers POST /c and GET /c/next, and records each POST /c/N byte by byte."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}  # target -> what came after the head
        self.heads: dict[str, bytes] = {}
        self._writers: dict[str, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers.values():
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/c"

    async def answer(self, target: str, *lines: bytes) -> None:
        self._writers[target].write(b"\r\n".join([*lines, b"", b""]))
        await self._writers[target].drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ")[1].decode()
                self._writers[target] = writer
                if head.startswith(b"POST") and target != "/c":
                    self.heads[target] = head
                    self.bodies[target] = b""
                    while data := await reader.read(65536):
                        self.bodies[target] += data
                    return
                latest = b"Lp-Trickle-Latest: 0"
                await self.answer(target, b"HTTP/1.1 200 OK", latest, b"Content-Length: 0")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has closed the connection
        finally:
            writer.close()


async def test_what_is_on_the_wire() -> None:
    """Heads go out before any byte; one write is one chunk; interim answers are nothing."""
    async with RawServer() as server, open_session() as session:
        publisher = Publisher(session, server.url, mime="text/x-test", delete_on_close=False)
        await publisher.start()
        await until(lambda: "/c/0" in server.heads, "the first POST, before begin()")
        head = server.heads["/c/0"].lower()
        assert head.startswith(b"post /c/0 http/1.1\r\n")
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        assert b"\r\ncontent-type: text/x-test\r\n" in head
        assert b"expect:" not in head
        assert b"lp-trickle-reset" not in head
        assert server.bodies == {"/c/0": b""}
        await server.answer("/c/0", b"HTTP/1.1 100 Continue")
        await publisher.begin()
        await publisher.write(b"abc")
        await until(lambda: server.bodies["/c/0"] == b"3\r\nabc\r\n", "the first write")
        await until(lambda: "/c/1" in server.heads, "the preconnected POST")
        assert server.bodies["/c/1"] == b""
        await server.answer("/c/1", b"HTTP/1.1 100 Continue")
        await server.answer("/c/1", b"HTTP/1.1 100 Continue")
        await publisher.write(b"0123456789abcdef")
        await until(
            lambda: server.bodies["/c/0"] == b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n",
            "the second write",
        )
        # The next segment does not wait for the answer to the one before.
        await asyncio.wait_for(publisher.begin(), PATIENCE_S)
        await publisher.write(b"next")
        await until(lambda: server.bodies["/c/1"] == b"4\r\nnext\r\n", "the next segment")
        assert server.bodies["/c/0"].endswith(b"\r\n0\r\n\r\n")
        assert publisher.counters.segments == 0
        ok = (b"HTTP/1.1 200 OK", b"Content-Length: 0")
        await server.answer("/c/0", *ok)
        await until(lambda: publisher.counters.segments == 1, "the answer")
        closing = asyncio.create_task(publisher.close())
        await until(lambda: server.bodies["/c/1"].endswith(b"\r\n0\r\n\r\n"), "the end")
        await server.answer("/c/1", *ok)
        await until(lambda: server.bodies["/c/2"] == b"0\r\n\r\n", "the preconnected one's end")
        await server.answer("/c/2", *ok)
        await asyncio.wait_for(closing, PATIENCE_S)
        assert publisher.counters.segments == 2
        assert publisher.counters.retries == publisher.counters.segments_dropped == 0


async def test_resume_says_so_once() -> None:
    async with RawServer() as server, open_session() as session:
        publisher = Publisher(session, server.url, resume=True, close_timeout_s=0.1)
        await publisher.start()
        await publisher.begin()
        await publisher.write(b"x")
        await until(lambda: len(server.heads) == 2, "two POSTs")
        assert b"\r\nlp-trickle-reset: 1\r\n" in server.heads["/c/0"].lower()
        assert b"lp-trickle-reset" not in server.heads["/c/1"].lower()
        await publisher.close()
        assert publisher.counters.segments_dropped == 1  # never answered


async def test_misuse_is_said() -> None:
    async with serving() as (server, _, session):
        publisher = Publisher(session, f"{server.url}c")
        with pytest.raises(RuntimeError, match="start"):
            await publisher.begin()
        await publisher.start()
        with pytest.raises(RuntimeError, match="begin"):
            await publisher.write(b"x")
        await publisher.close()
        with pytest.raises(RuntimeError, match="closed"):
            await publisher.begin()
        await publisher.close()


async def test_an_absent_channel_that_cannot_be_made() -> None:
    async with serving(autocreate=False) as (server, _, session):
        publisher = Publisher(session, f"{server.url}c")
        with pytest.raises(TrickleError) as caught:
            await publisher.start()
        assert caught.value.status == 404
        await publisher.close()
        publisher = Publisher(session, f"{server.url}c", create=False)
        await publisher.start()
        await publisher.begin()
        await until(lambda: publisher.state == "ended", "the answer to the POST")
        with pytest.raises(TrickleError) as caught:
            await publisher.write(b"x")
        assert caught.value.status == 404
        await publisher.close()


async def test_a_refusal_ends_it() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/0"):
            return web.Response(status=403)
        return web.Response(headers={"Lp-Trickle-Latest": "0"})

    async with scripted_server(refuse) as url, open_session() as session:
        publisher = Publisher(session, f"{url}/c")
        await publisher.start()
        await until(lambda: publisher.state == "ended", "the refusal")
        with pytest.raises(TrickleError) as caught:
            await publisher.begin()
        assert (caught.value.status, caught.value.url) == (403, f"{url}/c/0")
        await publisher.close()


async def test_a_server_that_comes_late_is_waited_for() -> None:
    async with serving() as (_, proxy, session):
        proxy.refusing = True
        states: list[str] = []
        publisher = Publisher(session, f"{proxy.url}/c", on_state=states.append)
        starting = asyncio.create_task(publisher.start())
        await until(lambda: publisher.counters.retries >= 2, "some tries")
        proxy.refusing = False
        await asyncio.wait_for(starting, PATIENCE_S)
        assert states == ["retrying", "live"]
        await publisher.close()


async def test_a_number_closed_by_others_is_passed_over() -> None:
    rng = random.Random(1)
    async with serving() as (server, _, session):
        url = f"{server.url}c"
        publisher = Publisher(session, url)
        await publisher.start()
        async with Collector(Subscriber(session, url)) as reader:
            sent = [await publish(publisher, rng, [10])]
            await until(lambda: reader.size == 10 and server.waiting == 2, "both preconnected")
            async with session.delete(f"{url}/1") as reply:
                assert reply.status == 200
            sent.append(await publish(publisher, rng, [20]))
            await until(lambda: reader.size == 30, "the second")
            await publisher.close()
            await reader.finished()
        assert reader.data == sent
        assert reader.seqs == [0, 2]
        assert reader.subscriber.counters.empty_segments == 1
        assert reader.subscriber.counters.server_restarts == 0


async def test_what_the_server_has_closed_goes_on_in_the_next() -> None:
    """A server that gives an aborted segment no grace: its rest is a segment of its own."""
    rng = random.Random(2)
    async with serving(abort_grace_s=0.0) as (server, proxy, session):
        publisher = Publisher(session, f"{proxy.url}/c")
        await publisher.start()
        async with Collector(Subscriber(session, f"{server.url}c")) as reader:
            first = await publish(publisher, rng, [100])
            fault = proxy.add(Fault("close", method="POST", path="/c/1$", after=300))
            # The POST is there already: make it anew, through the fault.
            await proxy.cut_all()
            second = await publish(publisher, rng, [250])
            await until(lambda: reader.size == 350, "what comes through")
            await publisher.write(b"y" * 500)
            await until(lambda: fault.hits == 1 and reader.size == 850, "the rest")
            third = await publish(publisher, rng, [50])
            await until(lambda: reader.size == 900, "what follows")
            await publisher.close()
            await reader.finished()
        assert b"".join(reader.data) == first + second + b"y" * 500 + third
        assert reader.data[0] == first
        assert reader.data[-1] == third
        assert publisher.counters.segments_dropped == 0


async def test_a_segment_that_grows_too_big_goes_on_in_the_next() -> None:
    async with serving() as (server, _, session):
        publisher = Publisher(session, f"{server.url}c", max_segment_bytes=1000)
        await publisher.start()
        async with Collector(Subscriber(session, f"{server.url}c")) as reader:
            await publisher.begin()
            for n in range(5):
                await publisher.write(bytes([n]) * 400)
                await until(lambda n=n: reader.size == 400 * (n + 1), "the bytes")
            await publisher.close()
            await reader.finished()
        assert [len(data) for data in reader.data] == [800, 800, 400]
        assert b"".join(reader.data) == b"".join(bytes([n]) * 400 for n in range(5))


async def test_write_waits_for_a_server_that_does_not_read() -> None:
    async with serving() as (server, proxy, session):
        proxy.add(Fault("stall", method="POST", path="/c/0$", after=1000))
        publisher = Publisher(session, f"{proxy.url}/c")
        await publisher.start()
        async with Collector(Subscriber(session, f"{server.url}c")) as reader:
            await publisher.begin()

            async def flood() -> None:
                for _ in range(48):
                    await publisher.write(bytes(1 << 20))

            flooding = asyncio.create_task(flood())
            last = -1
            while publisher.counters.bytes != last:  # until it stands still
                last = publisher.counters.bytes
                await asyncio.sleep(0.2)
            assert not flooding.done()
            assert publisher.counters.bytes < 40 << 20
            proxy.resume()
            await asyncio.wait_for(flooding, PATIENCE_S)
            await until(lambda: reader.size == 48 << 20, "all of it")
            await publisher.close()
            await reader.finished()
        assert publisher.counters.retries == 0


async def test_write_does_not_wait_for_a_server_that_is_away() -> None:
    rng = random.Random(3)
    async with serving() as (server, proxy, session):
        publisher = Publisher(
            session, f"{proxy.url}/c", retry_window_s=0.2, max_unsent_bytes=10_000
        )
        await publisher.start()
        await publisher.begin()
        proxy.refusing = True
        await proxy.cut_all()
        for _ in range(10):
            await asyncio.wait_for(publisher.write(bytes(5000)), PATIENCE_S)
        assert publisher.counters.segments_dropped == 1
        proxy.refusing = False
        async with Collector(Subscriber(session, f"{server.url}c")) as reader:
            sent = await publish(publisher, rng, [100, 100])
            await until(lambda: sent in reader.data, "the next segment, whole")
            await publisher.close()
            await reader.finished()
