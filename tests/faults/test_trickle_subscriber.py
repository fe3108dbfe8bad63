"""The subscriber against servers that answer what none should, and against slow consumers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from comfytrickle.errors import TrickleError
from comfytrickle.trickle import subscriber as subscriber_module
from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.server import TrickleServer
from comfytrickle.trickle.subscriber import Subscriber
from tests.support.channel import PATIENCE_S, Collector, scripted_server, until
from tests.support.fault_proxy import FaultProxy


def segment_head(seq: int, **more: str) -> web.StreamResponse:
    reply = web.StreamResponse(headers={"Lp-Trickle-Seq": str(seq), **more})
    reply.enable_chunked_encoding()
    return reply


def asked_seq(request: web.Request) -> int:
    return max(0, int(request.path.rsplit("/", 1)[1]))


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refusal_is_an_error_that_says_where_and_what(status: int) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with scripted_server(refuse) as url, open_session() as session:
        subscriber = Subscriber(session, f"{url}/c")
        with pytest.raises(TrickleError) as caught:
            await asyncio.wait_for(subscriber.__anext__(), PATIENCE_S)
        assert (caught.value.status, caught.value.url) == (status, f"{url}/c/-2")
        assert subscriber.state == "ended"
        with pytest.raises(StopAsyncIteration):
            await subscriber.__anext__()
        await subscriber.aclose()


async def test_a_web_server_is_no_trickle_server() -> None:
    async def hello(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    async with (
        scripted_server(hello) as url,
        open_session() as session,
        Subscriber(session, f"{url}/c") as subscriber,
    ):
        with pytest.raises(TrickleError, match="200"):
            await asyncio.wait_for(subscriber.__anext__(), PATIENCE_S)


@pytest.mark.parametrize("chunked", [False, True])
async def test_empty_segments_without_end_are_no_tight_loop(chunked: bool) -> None:
    asked: list[int] = []

    async def empty(request: web.Request) -> web.StreamResponse:
        asked.append(asked_seq(request))
        if chunked:
            reply = segment_head(asked[-1])
            await reply.prepare(request)
            return reply
        return web.Response(headers={"Lp-Trickle-Seq": str(asked[-1])})

    async with (
        scripted_server(empty) as url,
        open_session() as session,
        Collector(Subscriber(session, f"{url}/c", start=0)) as reader,
    ):
        await until(lambda: len(asked) >= 5, "the first GETs")
        await asyncio.sleep(0.5)
        assert len(asked) < 60  # without a pause: many hundreds
        assert asked == list(range(len(asked)))
        assert reader.subscriber.counters.empty_segments >= len(asked) - 3
        assert reader.size == 0


async def test_a_server_that_always_breaks_is_no_tight_loop() -> None:
    asked: list[str] = []

    async def broken(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        reply = segment_head(0)
        await reply.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return reply

    async with (
        scripted_server(broken) as url,
        open_session() as session,
        Collector(Subscriber(session, f"{url}/c", start=0)),
    ):
        await until(lambda: len(asked) >= 4, "the first GETs")
        await asyncio.sleep(0.5)
        assert len(asked) < 60


async def test_the_next_get_is_open_while_a_segment_is_read() -> None:
    server = TrickleServer()
    await server.start("127.0.0.1", 0)
    async with FaultProxy(server.url) as proxy, open_session() as session:
        async with session.post(f"{server.url}c/0", data=b"whole segment"):
            pass
        async with Subscriber(session, f"{proxy.url}/c") as subscriber:
            segment = await asyncio.wait_for(subscriber.__anext__(), PATIENCE_S)
            assert segment.seq == 0
            await until(lambda: len(proxy.requests) == 2, "the second GET")
            assert proxy.requests == [("GET", "/c/-2"), ("GET", "/c/1")]
            await until(lambda: server.waiting == 1, "it waits at the server")
        await until(lambda: not server.active, "nothing is left at the server")
    await server.close()


async def test_a_slow_consumer_holds_up_the_sender() -> None:
    written = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        seq = asked_seq(request)
        if seq:
            await asyncio.sleep(PATIENCE_S)
        reply = segment_head(seq)
        await reply.prepare(request)
        for _ in range(1024):
            await reply.write(bytes(65536))
            written += 65536
        return reply

    async with (
        scripted_server(flood) as url,
        open_session() as session,
        Subscriber(session, f"{url}/c", start=0) as subscriber,
    ):
        segment = await asyncio.wait_for(subscriber.__anext__(), PATIENCE_S)
        taken = len(await asyncio.wait_for(segment.__anext__(), PATIENCE_S))
        last = -1
        while written != last:  # until the sender stands still
            last = written
            await asyncio.sleep(0.2)
        assert written < 32 << 20  # of 64 MiB; what stands is in the kernel's buffers
        taken += sum([len(chunk) async for chunk in segment])
        assert taken == 64 << 20


async def test_a_segment_whose_publisher_is_gone_is_left_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 13: the server keeps it open for ever."""
    monkeypatch.setattr(subscriber_module, "_STRANDED_S", 0.2)

    async def stranded(request: web.Request) -> web.StreamResponse:
        seq = asked_seq(request)
        reply = segment_head(seq)
        if seq > 1:
            await asyncio.sleep(PATIENCE_S)
        await reply.prepare(request)
        await reply.write(b"some of %d" % seq)
        if seq == 0:
            await asyncio.sleep(PATIENCE_S)
        return reply

    async with (
        scripted_server(stranded) as url,
        open_session() as session,
        Collector(Subscriber(session, f"{url}/c", start=0)) as reader,
    ):
        await until(lambda: len(reader.segments) == 2 and reader.size == 18, "the next one")
        assert reader.data == [b"some of 0", b"some of 1"]
        assert [s.gap for s in reader.segments] == [False, True]
        assert reader.subscriber.counters.segments_lost == 1


async def test_the_rest_of_a_cut_segment_may_be_lost() -> None:
    async def forgetful(request: web.Request) -> web.StreamResponse:
        seq = asked_seq(request)
        if seq == 0 and asked.count(0):
            return web.Response(status=470, headers={"Lp-Trickle-Latest": "9"})
        asked.append(seq)
        if seq == 2:
            return web.Response(headers={"Lp-Trickle-Closed": "terminated"})
        reply = segment_head(seq)
        await reply.prepare(request)
        await reply.write(b"some of %d" % seq)
        if seq == 0:
            await read.wait()
            assert request.transport is not None
            request.transport.close()
        return reply

    asked: list[int] = []
    read = asyncio.Event()
    async with (
        scripted_server(forgetful) as url,
        open_session() as session,
        Collector(Subscriber(session, f"{url}/c", start=0)) as reader,
    ):
        await until(lambda: reader.size == 9, "the first part")
        read.set()
        await reader.finished()
        assert reader.data == [b"some of 0", b"some of 1"]
        assert [s.gap for s in reader.segments] == [False, True]
        assert reader.subscriber.counters.segments_lost == 1
        assert reader.subscriber.end_reason == "closed"


async def test_sockets_have_keepalive() -> None:
    async def hello(_: web.Request) -> web.StreamResponse:
        return web.Response(text="hello")

    async with scripted_server(hello) as url, open_session() as session:
        async with session.get(url) as reply:
            assert reply.connection is None or reply.connection.transport is not None
        idle = [t for conns in session.connector._conns.values() for t in conns]  # type: ignore[union-attr]
        sock = idle[0][0].transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        tcp = {
            name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        }
        assert tcp == {
            "TCP_KEEPIDLE": 10,
            "TCP_KEEPINTVL": 5,
            "TCP_KEEPCNT": 3,
            "TCP_USER_TIMEOUT": 25_000,
        }


async def make_certificate(key: Path, certificate: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    files = [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    process = await asyncio.create_subprocess_exec(
        *command.split(), *files, stderr=asyncio.subprocess.DEVNULL
    )
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0


async def test_tls_is_verified_unless_told_otherwise(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    await make_certificate(key, certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def closed(_: web.Request) -> web.StreamResponse:
        return web.Response(headers={"Lp-Trickle-Closed": "terminated"})

    app = web.Application()
    app.router.add_get("/c/-2", closed)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/c"
    trusting = ssl.create_default_context(cafile=str(certificate))
    try:
        async with open_session() as session, Subscriber(session, url) as subscriber:
            with pytest.raises(TrickleError, match="certificate"):
                await asyncio.wait_for(subscriber.__anext__(), PATIENCE_S)
        for options in ({"verify_tls": False}, {"ssl_context": trusting}):
            async with open_session(**options) as session:  # type: ignore[arg-type]
                async with Collector(Subscriber(session, url)) as reader:
                    await reader.finished()
                assert reader.subscriber.end_reason == "closed"
    finally:
        await runner.cleanup()
