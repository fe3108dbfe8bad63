"""The trickle server, row by row of docs/trickle.md, with bare sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from comfytrickle.trickle.server import TrickleServer
from comfytrickle.trickle.store import Limits
from tests.support.raw_http import Head, RawHttp, until

Start = Callable[..., Awaitable[TrickleServer]]
Connect = Callable[[], Awaitable[RawHttp]]

PLAIN = {"content-type": "text/plain; charset=utf-8"}
ERROR = {**PLAIN, "x-content-type-options": "nosniff"}
CLOSE = {"connection": "close"}
EMPTY = {"content-length": "0"}


def seq(number: int, latest: int | None = None) -> dict[str, str]:
    headers = {"lp-trickle-seq": str(number)}
    return headers if latest is None else {**headers, "lp-trickle-latest": str(latest)}


def live(mime: str = "video/MP2T") -> dict[str, str]:
    return {"content-type": mime, "transfer-encoding": "chunked"}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[TrickleServer] = []

    async def one(**options: Any) -> TrickleServer:
        server = TrickleServer(**options)
        servers.append(server)
        await server.start()
        return server

    yield one
    for server in servers:
        await server.close()


@pytest.fixture
async def server(start: Start) -> TrickleServer:
    return await start()


@pytest.fixture
async def dial() -> AsyncIterator[Callable[[TrickleServer], Awaitable[RawHttp]]]:
    open_: list[RawHttp] = []

    async def one(server: TrickleServer) -> RawHttp:
        connection = await RawHttp.connect(server.url)
        open_.append(connection)
        return connection

    yield one
    for connection in open_:
        await connection.close()


@pytest.fixture
def connect(server: TrickleServer, dial: Callable[[TrickleServer], Awaitable[RawHttp]]) -> Connect:
    return lambda: dial(server)


async def ask(
    connection: RawHttp, line: str, *headers: str, body: bytes = b""
) -> tuple[Head, bytes]:
    await connection.request(line, *headers, body=body)
    head = await connection.head()
    return head, await connection.body(head)


async def publish(connection: RawHttp, path: str, body: bytes) -> None:
    head, _ = await ask(connection, f"POST {path}", "Content-Type: video/MP2T", body=body)
    assert head.status == 200


# --- creating, and what is not there (rows 1 to 5, 15, 16, 37 to 39) ---


async def test_create_is_idempotent_and_sets_the_mime_type(connect: Connect) -> None:
    c = await connect()
    for _ in range(2):
        head, _ = await ask(c, "POST /c", "Expect-Content: a/b", "Content-Type: x/y")
        assert (head.status, head.headers) == (200, EMPTY)
    await ask(c, "POST /c/0", "Content-Type: x/y", body=b"x")
    head, _ = await ask(c, "GET /c/0")
    assert head.headers["content-type"] == "a/b"


async def test_the_first_posts_content_type_is_the_channels(connect: Connect) -> None:
    c = await connect()
    await ask(c, "POST /c/0", "Content-Type: a/b", body=b"x")
    await ask(c, "POST /c/1", "Content-Type: x/y", body=b"x")
    await ask(c, "POST /c", "Expect-Content: x/y")
    head, _ = await ask(c, "GET /c/1")
    assert head.headers["content-type"] == "a/b"


async def test_without_a_mime_type_it_is_bytes(connect: Connect) -> None:
    c = await connect()
    await ask(c, "POST /c/0", body=b"x")
    head, _ = await ask(c, "GET /c/0")
    assert head.headers["content-type"] == "application/octet-stream"


async def test_no_autocreate(start: Start, dial: Any) -> None:
    server = await start(autocreate=False)
    c = await dial(server)
    head, body = await ask(c, "POST /c")
    assert (head.status, body) == (404, b"Stream not found\n")
    assert head.headers == {**ERROR, "content-length": "17"}
    assert server.channels == 0


async def test_post_on_an_absent_channel_is_refused_before_its_body(
    start: Start, dial: Any
) -> None:
    server = await start(autocreate=False)
    c = await dial(server)
    await c.begin_post("/c/0", "Expect: 100-continue")
    head = await c.head()  # not 100
    assert (head.line, await c.body(head)) == ("HTTP/1.1 404 Not Found", b"Stream not found\n")
    assert head.headers == {**ERROR, **CLOSE, "content-length": "17"}
    assert await c.is_silent()  # the client may still end its body in peace
    await c.send_chunk(b"nobody wants this")
    await c.send_chunk(b"")
    assert await c.rest() == b""


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("GET /c/abc", 400, "Invalid idx\n"),
        ("GET /c/-3", 400, "Invalid idx\n"),
        ("GET /c/99999999999999999999", 400, "Invalid idx\n"),
        ("POST /c/abc", 400, "Invalid idx\n"),
        ("POST /c/next", 400, "Invalid idx\n"),
        ("POST /c/-2", 400, "Invalid idx\n"),
        ("DELETE /c/-1", 400, "Invalid idx\n"),
        ("DELETE /c/-2", 400, "Invalid idx\n"),
        ("DELETE /c/next", 400, "Invalid idx\n"),
        ("DELETE /c/9", 400, "Nonexistent segment\n"),
        ("DELETE /absent", 400, "Invalid stream\n"),
        ("GET /absent/0", 404, "Stream not found\n"),
        ("GET /absent/-1", 404, "Stream not found\n"),
        ("GET /absent/next", 404, "Stream not found\n"),
        ("DELETE /absent/0", 404, "Stream not found\n"),
        ("GET /c/", 404, "404 page not found\n"),
        ("GET /", 404, "404 page not found\n"),
        ("GET /c/0/1", 404, "404 page not found\n"),
        ("GET /%FF/0", 400, "Invalid name\n"),
    ],
)
async def test_refusals_harm_nothing(
    connect: Connect, server: TrickleServer, line: str, status: int, text: str
) -> None:
    c = await connect()
    await publish(c, "/c/0", b"zero")
    head, body = await ask(c, line)
    assert (head.status, body.decode()) == (status, text)
    assert head.headers == {**ERROR, "content-length": str(len(text))}
    assert server.channels == 1
    head, body = await ask(c, "GET /c/0")
    assert (body, head.headers) == (b"zero", {**live(), **seq(0, 1)})
    await publish(c, "/c/1", b"one")
    head, body = await ask(c, "GET /c/next")
    assert body == b"2"


async def test_a_bad_number_creates_no_channel(connect: Connect, server: TrickleServer) -> None:
    head, _ = await ask(await connect(), "POST /fresh/abc", body=b"x")
    assert (head.status, server.channels) == (400, 0)


@pytest.mark.parametrize(
    ("line", "allow"),
    [
        ("GET /c", "DELETE, POST"),
        ("PUT /c", "DELETE, POST"),
        ("PATCH /c/0", "DELETE, GET, HEAD, POST"),
        ("OPTIONS /c/next", "DELETE, GET, HEAD, POST"),
    ],
)
async def test_other_methods(connect: Connect, line: str, allow: str) -> None:
    head, body = await ask(await connect(), line)
    assert (head.status, body) == (405, b"Method Not Allowed\n")
    assert head.headers == {**ERROR, "allow": allow, "content-length": "19"}


@pytest.mark.parametrize(
    "path", ["/c/0", "/c/00", "/c/+0", "/c/0?a=b", "/%63/0", "http://test/c/0"]
)
async def test_other_spellings(connect: Connect, path: str) -> None:
    c = await connect()
    await publish(c, "/c/0", b"zero")
    head, body = await ask(c, f"GET {path}")
    assert (head.status, body) == (200, b"zero")


async def test_a_double_slash_is_sent_on(connect: Connect) -> None:
    head, _ = await ask(await connect(), "GET //c/0?x=1")
    assert (head.status, head.headers["location"]) == (301, "/c/0?x=1")


async def test_an_encoded_slash_is_part_of_the_name(connect: Connect) -> None:
    c = await connect()
    await publish(c, "/a%2Fb/0", b"x")
    assert (await ask(c, "GET /a%2Fb/0"))[1] == b"x"
    assert (await ask(c, "GET /a/b"))[0].status == 404


async def test_head_is_get_without_a_body(connect: Connect) -> None:
    c = await connect()
    await publish(c, "/c/0", b"zero")
    await c.request("HEAD /c/0")
    head = await c.head()
    assert (head.status, head.headers) == (200, {"content-type": "video/MP2T", **seq(0, 1)})
    await c.request("HEAD /c/next")
    head = await c.head()
    assert head.headers == {**PLAIN, "content-length": "1", "lp-trickle-latest": "1"}
    assert (await ask(c, "GET /c/next"))[1] == b"1"  # no body was in between


async def test_base_path(start: Start, dial: Any) -> None:
    server = await start(path="live/trickle")
    assert server.url.endswith("/live/trickle/")
    c = await dial(server)
    await publish(c, "/live/trickle/c/0", b"x")
    assert (await ask(c, "GET /live/trickle/c/0"))[1] == b"x"
    assert (await ask(c, "GET /c/0"))[0].status == 404


# --- publishing (rows 6 to 14) ---


async def test_post_is_answered_when_its_body_ends(connect: Connect) -> None:
    c, other = await connect(), await connect()
    await c.begin_post("/c/0", "Content-Type: video/MP2T")
    await ask(other, "POST /c")
    assert (await ask(other, "GET /c/next"))[1] == b"0"
    await c.send_chunk(b"a")
    await other.request("GET /c/0")
    head = await other.head()
    assert await other.chunk() == b"a"
    assert await c.is_silent()
    await c.send_chunk(b"")
    head = await c.head()
    assert (head.line, head.headers) == ("HTTP/1.1 200 OK", {**EMPTY, **seq(0)})
    assert await other.chunk() == b""
    await publish(c, "/c/1", b"the same connection again")


async def test_next_moves_with_the_first_byte(connect: Connect, server: TrickleServer) -> None:
    c, other = await connect(), await connect()
    await c.begin_post("/c/4")
    await until(lambda: server.waiting == 1)
    assert (await ask(other, "GET /c/next"))[1] == b"0"
    await c.send_chunk(b"a")
    await until(lambda: server.waiting == 0)
    head, body = await ask(other, "GET /c/next")
    assert (body, head.headers["lp-trickle-latest"]) == (b"5", "5")


async def test_post_next_takes_the_number_at_its_arrival(
    connect: Connect, server: TrickleServer
) -> None:
    first, second = await connect(), await connect()
    await publish(first, "/c/6", b"x")
    await first.begin_post("/c/-1")
    await second.begin_post("/c/-1")
    await until(lambda: server.waiting == 2)
    await first.send_chunk(b"a")
    await first.send_chunk(b"")
    assert (await first.head()).headers == {**EMPTY, **seq(7)}
    head = await second.head()  # it had no byte when its segment ended
    assert head.headers == {**EMPTY, **seq(7), **CLOSE}


async def test_an_empty_post_is_an_empty_segment(connect: Connect) -> None:
    c, other = await connect(), await connect()
    await c.begin_post("/c/0")
    await c.send_chunk(b"")
    head = await c.head()
    assert (head.status, head.headers) == (200, {**EMPTY, **seq(0), **CLOSE})
    assert await c.rest() == b""
    head, _ = await ask(other, "GET /c/0")
    assert (head.status, head.headers) == (200, {**EMPTY, **seq(0, 1)})


async def test_post_on_a_finished_segment_changes_nothing(connect: Connect) -> None:
    c = await connect()
    for number in range(3):
        await publish(c, f"/c/{number}", b"old")
    head, _ = await ask(c, "POST /c/1", body=b"again")
    assert (head.status, head.headers) == (200, {**EMPTY, **seq(1, 3), **CLOSE})
    other = await connect()
    assert (await ask(other, "GET /c/1"))[1] == b"old"
    assert (await ask(other, "GET /c/next"))[1] == b"3"


async def test_gaps_are_accepted(connect: Connect) -> None:
    c = await connect()
    await publish(c, "/c/0", b"x")
    await publish(c, "/c/17", b"y")
    assert (await ask(c, "GET /c/next"))[1] == b"18"
    assert (await ask(c, "GET /c/-2"))[1] == b"y"


async def test_interim_answers_until_the_first_byte(start: Start, dial: Any) -> None:
    server = await start(continue_interval_s=0.05)
    c = await dial(server)
    await c.begin_post("/c/0")
    for _ in range(3):
        assert (await c.head()).line == "HTTP/1.1 100 Continue"
    await c.send_chunk(b"a")
    reader = await dial(server)
    await reader.request("GET /c/0")
    assert (await reader.head()).status == 200
    while not await c.is_silent(0.2):  # one may have been under way
        pass
    await c.send_chunk(b"")
    assert (await c.head()).line == "HTTP/1.1 200 OK"


async def test_expect_continue_is_answered_at_once(connect: Connect) -> None:
    c = await connect()
    await c.begin_post("/c/0", "Expect: 100-continue")
    head = await c.head()
    assert (head.line, head.headers) == ("HTTP/1.1 100 Continue", {})
    await c.send_chunk(b"a")
    await c.send_chunk(b"")
    assert (await c.head()).status == 200


async def test_another_expectation_is_refused(connect: Connect) -> None:
    head, _ = await ask(await connect(), "POST /c/0", "Expect: wonders", body=b"x")
    assert head.status == 417


@pytest.mark.parametrize("target", ["/c/2", "/c/-1"])
async def test_reset_ends_what_is_older(
    connect: Connect, server: TrickleServer, target: str
) -> None:
    old, ahead, reader, c = [await connect() for _ in range(4)]
    await old.begin_post("/c/1")
    await old.send_chunk(b"old")
    await reader.request("GET /c/1")
    assert (await reader.head()).status == 200
    assert await reader.chunk() == b"old"
    await ahead.begin_post("/c/3")
    await until(lambda: server.waiting == 1)
    head, _ = await ask(c, f"POST {target}", "Lp-Trickle-Reset: 1", body=b"new")
    assert head.headers == {**EMPTY, **seq(2)}
    assert await reader.chunk() == b""
    assert await ahead.is_silent()
    await old.send_chunk(b"")
    assert (await old.head()).status == 200


# --- reading (rows 17 to 26, 30) ---


async def test_a_finished_segment(connect: Connect) -> None:
    c = await connect()
    for number in range(3):
        await publish(c, f"/c/{number}", b"segment %d" % number)
    head, body = await ask(c, "GET /c/1")
    assert head.line == "HTTP/1.1 200 OK"
    assert (head.headers, body) == ({**live(), **seq(1, 3)}, b"segment 1")


async def test_a_live_segment_gives_what_there_is_and_then_each_write(connect: Connect) -> None:
    c, reader = await connect(), await connect()
    await c.begin_post("/c/0", "Content-Type: video/MP2T")
    await c.send_chunk(b"a")
    early = await connect()
    await early.request("GET /c/-2")
    assert (await early.head()).status == 200
    assert await early.chunk() == b"a"
    await c.send_chunk(b"b")
    assert await early.chunk() == b"b"
    await reader.request("GET /c/0")
    head = await reader.head()
    assert (head.status, head.headers) == (200, {**live(), **seq(0, 1)})
    assert await reader.chunk() == b"ab"
    for piece in (b"c", b"d" * 1000, b"e"):
        await c.send_chunk(piece)
        assert await reader.chunk() == piece
        assert await early.chunk() == piece
    assert await reader.is_silent()
    await c.send_chunk(b"")
    assert await reader.chunk() == b""
    assert (await ask(reader, "GET /c/next"))[1] == b"1"  # and the connection lives on


@pytest.mark.parametrize("which", ["/c/2", "/c/-1"])
async def test_the_next_segment_is_waited_for(
    connect: Connect, server: TrickleServer, which: str
) -> None:
    c, reader = await connect(), await connect()
    for number in range(2):
        await publish(c, f"/c/{number}", b"x")
    await reader.request(f"GET {which}")
    await until(lambda: server.waiting == 1)
    await c.begin_post("/c/2")
    await until(lambda: server.waiting == 2)
    assert await reader.is_silent()  # not even a status line
    await c.send_chunk(b"first")
    head = await reader.head()
    assert (head.status, head.headers) == (200, {**live(), **seq(2)})  # no Latest
    assert await reader.chunk() == b"first"


@pytest.mark.parametrize(
    ("which", "number", "latest"), [("-2", 0, None), ("0", 0, None), ("1", 1, 0)]
)
async def test_a_fresh_channel_is_waited_for(
    connect: Connect, server: TrickleServer, which: str, number: int, latest: int | None
) -> None:
    c, reader = await connect(), await connect()
    await ask(c, "POST /c", "Expect-Content: video/MP2T")
    await reader.request(f"GET /c/{which}")
    await until(lambda: server.waiting == 1)
    await publish(c, f"/c/{number}", b"first")
    head = await reader.head()
    assert (head.status, head.headers) == (200, {**live(), **seq(number, latest)})


@pytest.mark.parametrize("number", [0, 1, 8, 100])
async def test_outside_the_window(connect: Connect, number: int) -> None:
    c = await connect()
    for published in range(7):
        await publish(c, f"/c/{published}", b"x")
    head, body = await ask(c, f"GET /c/{number}")
    assert head.line == "HTTP/1.1 470 status code 470"
    assert head.headers == {**PLAIN, **seq(number, 7), "content-length": "15"}
    assert body == b"Entry not found"


async def test_the_window_counts_the_next_segment(connect: Connect, server: TrickleServer) -> None:
    c, reader = await connect(), await connect()
    for published in range(7):
        await publish(c, f"/c/{published}", b"%d" % published)
    assert (await ask(c, "GET /c/2"))[1] == b"2"
    await reader.request("GET /c/7")
    await until(lambda: server.waiting == 1)
    assert (await ask(c, "GET /c/2"))[0].status == 470
    assert [(await ask(c, f"GET /c/{n}"))[1] for n in range(3, 7)] == [b"3", b"4", b"5", b"6"]


async def test_a_preconnected_segment_can_be_waited_for(
    connect: Connect, server: TrickleServer
) -> None:
    c, reader = await connect(), await connect()
    await publish(c, "/c/0", b"x")
    await c.begin_post("/c/3")
    await until(lambda: server.waiting == 1)
    await reader.request("GET /c/3")
    await until(lambda: server.waiting == 2)
    await c.send_chunk(b"three")
    head = await reader.head()
    assert (head.headers, await reader.chunk()) == ({**live(), **seq(3, 1)}, b"three")


async def test_an_evicted_open_segment_ends_for_its_readers(connect: Connect) -> None:
    old, reader, c = [await connect() for _ in range(3)]
    await old.begin_post("/c/0", "Content-Type: video/MP2T")
    await old.send_chunk(b"x")
    await reader.request("GET /c/0")
    head = await reader.head()
    assert await reader.chunk() == b"x"
    for number in range(1, 6):
        await publish(c, f"/c/{number}", b"y")
    assert await reader.chunk() == b""
    await old.send_chunk(b"late")
    await old.send_chunk(b"")
    head = await old.head()
    assert (head.status, head.headers) == (200, {**EMPTY, **seq(0)})


async def test_next(connect: Connect) -> None:
    c = await connect()
    await publish(c, "/c/11", b"x")
    head, body = await ask(c, "GET /c/next")
    assert (head.status, body) == (200, b"12")
    assert head.headers == {**PLAIN, "lp-trickle-latest": "12", "content-length": "2"}


async def test_http_1_0_gets_a_plain_body(connect: Connect) -> None:
    c, old = await connect(), await connect()
    await c.begin_post("/c/0", "Content-Type: video/MP2T")
    await c.send_chunk(b"a")
    await old.send(b"GET /c/0 HTTP/1.0\r\n\r\n")
    head = await old.head()
    assert head.headers == {"content-type": "video/MP2T", **seq(0, 1)}
    await c.send_chunk(b"b")
    await c.send_chunk(b"")
    assert await old.rest() == b"ab"


async def test_bodies_are_passed_on_as_they_are(connect: Connect) -> None:
    c = await connect()
    await ask(c, "POST /c/0", "Content-Encoding: gzip", body=b"not gzip at all")
    assert (await ask(c, "GET /c/0"))[1] == b"not gzip at all"


async def test_a_large_segment_comes_whole(connect: Connect) -> None:
    c, reader = await connect(), await connect()
    body = bytes(range(256)) * 4 * 1024 * 8  # 8 MiB
    await ask(c, "POST /c")
    await reader.request("GET /c/0")

    async def read() -> bytes:
        return await reader.body(await reader.head())

    got, _ = await asyncio.gather(read(), publish(c, "/c/0", body))
    assert got == body


# --- ending (rows 25 to 29, 31 to 33) ---


async def test_delete_of_a_channel_tells_all_that_wait(
    connect: Connect, server: TrickleServer
) -> None:
    c, reader, pending, writer, live_reader = [await connect() for _ in range(5)]
    await writer.begin_post("/c/0", "Content-Type: video/MP2T")
    await writer.send_chunk(b"x")
    await live_reader.request("GET /c/0")
    assert (await live_reader.head()).status == 200
    assert await live_reader.chunk() == b"x"
    await pending.begin_post("/c/1")
    await reader.request("GET /c/1")
    await until(lambda: server.waiting == 2)

    head, _ = await ask(c, "DELETE /c")
    assert (head.status, head.headers) == (200, EMPTY)
    closed = {"lp-trickle-closed": "terminated"}
    head = await reader.head()
    assert (head.status, head.headers) == (200, {**EMPTY, **seq(1, 2), **closed})
    head = await pending.head()
    assert (head.status, head.headers) == (200, {**EMPTY, **seq(1), **closed, **CLOSE})
    assert await live_reader.chunk() == b""  # just the end, no Closed
    await writer.send_chunk(b"into nothing")
    await writer.send_chunk(b"")
    head = await writer.head()
    assert (head.status, head.headers) == (200, {**EMPTY, **seq(0)})
    assert (await ask(live_reader, "GET /c/0"))[0].status == 404
    assert (await ask(c, "DELETE /c"))[1] == b"Invalid stream\n"
    await ask(c, "POST /c/-1", body=b"fresh")
    assert (await ask(c, "GET /c/next"))[1] == b"1"


async def test_delete_tells_a_reader_without_a_publisher(
    connect: Connect, server: TrickleServer
) -> None:
    c, reader = await connect(), await connect()
    await publish(c, "/c/0", b"x")
    await reader.request("GET /c/-1")
    await until(lambda: server.waiting == 1)
    await ask(c, "DELETE /c")
    head = await reader.head()
    assert head.headers == {**EMPTY, **seq(1, 1), "lp-trickle-closed": "terminated"}


async def test_delete_of_a_preconnected_segment(connect: Connect, server: TrickleServer) -> None:
    c, reader, pending = [await connect() for _ in range(3)]
    await publish(c, "/c/0", b"x")
    await pending.begin_post("/c/1")
    await reader.request("GET /c/1")
    await until(lambda: server.waiting == 2)
    head, _ = await ask(c, "DELETE /c/1")
    assert (head.status, head.headers) == (200, EMPTY)
    assert (await reader.head()).headers == {**EMPTY, **seq(1, 2)}
    assert (await pending.head()).headers == {**EMPTY, **seq(1), **CLOSE}
    assert (await ask(c, "GET /c/next"))[1] == b"2"


async def test_delete_of_a_live_segment(connect: Connect) -> None:
    c, reader, writer = [await connect() for _ in range(3)]
    await writer.begin_post("/c/0")
    await writer.send_chunk(b"a")
    await reader.request("GET /c/0")
    await reader.head()
    assert await reader.chunk() == b"a"
    assert (await ask(c, "DELETE /c/0"))[0].status == 200
    assert await reader.chunk() == b""
    await writer.send_chunk(b"late")
    await writer.send_chunk(b"")
    assert (await writer.head()).headers == {**EMPTY, **seq(0)}
    assert (await ask(reader, "GET /c/0"))[1] == b"alate"


async def test_delete_of_the_next_segment_moves_its_readers_on(
    connect: Connect, server: TrickleServer
) -> None:
    c, reader = await connect(), await connect()
    await publish(c, "/c/0", b"x")
    await reader.request("GET /c/1")
    await until(lambda: server.waiting == 1)
    assert (await ask(c, "DELETE /c/1"))[0].status == 200
    assert (await reader.head()).headers == {**EMPTY, **seq(1, 2)}
    await reader.request("GET /c/2")  # where an empty reply sends a client
    await until(lambda: server.waiting == 1)
    await publish(c, "/c/2", b"two")
    assert await reader.body(await reader.head()) == b"two"


# --- publishers and readers that go away (row 13) ---


async def test_a_cut_off_publisher_can_come_back_to_its_segment(start: Start, dial: Any) -> None:
    server = await start(abort_grace_s=60.0)
    c, again, reader = [await dial(server) for _ in range(3)]
    await c.begin_post("/c/0", "Content-Type: video/MP2T")
    await c.send_chunk(b"a")
    await reader.request("GET /c/0")
    head = await reader.head()
    assert await reader.chunk() == b"a"
    c.abort()
    assert await reader.is_silent()
    await again.begin_post("/c/0")
    await again.send_chunk(b"b")
    assert await reader.chunk() == b"b"
    await again.send_chunk(b"")
    assert await reader.chunk() == b""
    assert (await again.head()).headers == {**EMPTY, **seq(0)}
    head, body = await ask(reader, "GET /c/0")
    assert (body, head.headers["lp-trickle-latest"]) == (b"ab", "1")


@pytest.mark.parametrize("how", ["cut", "ended too early"])
async def test_without_a_publisher_the_readers_go_on_after_the_grace(
    start: Start, dial: Any, how: str
) -> None:
    server = await start(abort_grace_s=0.2)
    c, reader = await dial(server), await dial(server)
    await c.begin_post("/c/0", "Content-Type: video/MP2T")
    await c.send_chunk(b"a")
    await reader.request("GET /c/0")
    await reader.head()
    assert await reader.chunk() == b"a"
    begin = time.monotonic()
    if how == "cut":
        c.abort()
    else:
        c.send_eof()
    assert await reader.chunk() == b""
    assert time.monotonic() - begin > 0.15
    assert (await ask(reader, "GET /c/0"))[1] == b"a"


async def test_a_preconnected_publisher_that_goes_leaves_the_segment_to_come(
    start: Start, dial: Any
) -> None:
    server = await start(abort_grace_s=0.02)
    c, again, reader = [await dial(server) for _ in range(3)]
    await c.begin_post("/c/0")
    await until(lambda: server.waiting == 1)
    await reader.request("GET /c/0")
    await until(lambda: server.waiting == 2)
    c.abort()
    await until(lambda: server.waiting == 1)
    assert await reader.is_silent()
    await publish(again, "/c/0", b"later")
    assert await reader.body(await reader.head()) == b"later"


async def test_readers_that_go_away_are_forgotten(connect: Connect, server: TrickleServer) -> None:
    c = await connect()
    await ask(c, "POST /c")
    for _ in range(3):
        reader = await connect()
        await reader.request("GET /c/-1")
        await until(lambda: server.waiting == 1)
        reader.abort()
        await until(lambda: server.waiting == 0)
    await publish(c, "/c/0", b"x")
    assert (await ask(c, "GET /c/0"))[1] == b"x"


async def test_a_reader_that_does_not_read_stops_nobody(connect: Connect) -> None:
    c, slow, fast = [await connect() for _ in range(3)]
    piece = b"p" * 65536
    await c.begin_post("/c/0", "Content-Type: video/MP2T")
    await c.send_chunk(b"begin")
    for reader in (slow, fast):
        await reader.request("GET /c/0")
        await reader.head()
        assert await reader.chunk() == b"begin"

    async def write() -> None:
        for _ in range(256):  # 16 MiB, more than any socket buffer
            await c.send_chunk(piece)
        await c.send_chunk(b"")

    async def drain(reader: RawHttp) -> bytes:
        whole = b""
        while got := await reader.chunk():
            whole += got
        return whole

    got, _ = await asyncio.gather(drain(fast), write())
    assert got == piece * 256
    assert (await c.head()).status == 200
    for number in range(1, 7):  # out of the window
        await publish(c, f"/c/{number}", b"x")
    assert await drain(slow) == piece * 256  # and it loses nothing


async def test_a_stalled_reader_is_cut_off(start: Start, dial: Any) -> None:
    server = await start(limits=Limits(reader_stall_s=0.1))
    c, stalled = await dial(server), await dial(server)
    for _ in range(2):
        await publish(c, "/c/-1", b"p" * (16 << 20))
    await stalled.request("GET /c/0")
    await stalled.head()
    await until(lambda: server.active == 0)  # nothing is read meanwhile
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        while await stalled.chunk():
            pass
    assert (await ask(c, "GET /c/1"))[0].status == 200


# --- limits ---


@pytest.mark.parametrize("how", ["length", "chunks"])
async def test_a_segment_too_large(start: Start, dial: Any, how: str) -> None:
    server = await start(limits=Limits(max_segment_bytes=1000))
    c = await dial(server)
    if how == "length":
        await c.request("POST /c/0", "Content-Length: 1001")
    else:
        await c.begin_post("/c/0")
        await c.send_chunk(b"a" * 1000)
        assert await c.is_silent()
        await c.send_chunk(b"b")
    head = await c.head()
    assert (head.status, await c.body(head)) == (413, b"Segment too large\n")
    assert head.headers == {**ERROR, **CLOSE, "content-length": "18"}
    other = await dial(server)
    head, body = await ask(other, "GET /c/0")
    if how == "length":
        assert head.status == 404
    else:
        assert (head.status, body) == (200, b"a" * 1000)  # readers come to an end


async def test_a_segment_as_large_as_allowed(start: Start, dial: Any) -> None:
    c = await dial(await start(limits=Limits(max_segment_bytes=1000)))
    await publish(c, "/c/0", b"a" * 1000)
    assert (await ask(c, "GET /c/0"))[1] == b"a" * 1000


@pytest.mark.parametrize("line", ["POST /b", "POST /b/0"])
async def test_too_many_channels(start: Start, dial: Any, line: str) -> None:
    server = await start(limits=Limits(max_channels=1))
    c, other = await dial(server), await dial(server)
    await publish(c, "/a/0", b"x")
    head, body = await ask(other, line)
    assert (head.status, body) == (503, b"Too many channels\n")
    assert head.headers == {**ERROR, **CLOSE, "content-length": "18"}
    await publish(c, "/a/1", b"x")
    assert (server.channels, server.waiting) == (1, 0)


async def test_too_many_waiting(start: Start, dial: Any) -> None:
    server = await start(limits=Limits(max_waiting=1))
    c, first, reader, pending = [await dial(server) for _ in range(4)]
    await publish(c, "/c/0", b"x")
    await first.begin_post("/c/1")
    await until(lambda: server.waiting == 1)
    for connection, line in ((reader, "GET /c/1"), (pending, "POST /c/2")):
        head, body = await ask(connection, line)
        assert (head.status, body) == (503, b"Too many waiting requests\n")
        assert head.headers == {**ERROR, **CLOSE, "content-length": "26"}
    assert (await ask(c, "GET /c/0"))[1] == b"x"  # who need not wait is served
    await first.send_chunk(b"a")  # and its place is free again
    await until(lambda: server.waiting == 0)
    await publish(c, "/c/2", b"x")


# --- idle channels, changefeed (rows 35, 36) ---


async def test_an_idle_channel_is_removed_and_those_who_wait_are_told(
    start: Start, dial: Any
) -> None:
    server = await start(idle_timeout_s=1.0, sweep_interval_s=0.02)
    c, reader, pending = [await dial(server) for _ in range(3)]
    await publish(c, "/c/0", b"x")
    await publish(c, "/_kept/0", b"x")
    await pending.begin_post("/c/1")
    await reader.request("GET /c/1")
    closed = {"lp-trickle-closed": "terminated"}
    assert (await reader.head()).headers == {**EMPTY, **seq(1, 2), **closed}
    assert (await pending.head()).headers == {**EMPTY, **seq(1), **closed, **CLOSE}
    assert (await ask(c, "GET /c/0"))[0].status == 404
    assert (await ask(c, "GET /_kept/0"))[1] == b"x"


async def test_the_changefeed(start: Start, dial: Any) -> None:
    server = await start(changefeed=True)
    c, feed = await dial(server), await dial(server)
    head, body = await ask(feed, "GET /_changes/0")
    assert (head.headers, body) == (
        {**live("application/json"), **seq(0, 1)},
        b'{"added":["_changes"]}',
    )
    await feed.request("GET /_changes/1")
    await until(lambda: server.waiting == 1)
    await ask(c, "POST /a")
    assert await feed.body(await feed.head()) == b'{"added":["a"]}'
    await ask(c, "DELETE /a")
    assert (await ask(feed, "GET /_changes/2"))[1] == b'{"removed":["a"]}'
    for line in ("POST /_changes/3", "DELETE /_changes", "DELETE /_changes/0"):
        head, _ = await ask(c, line)
        assert (head.status, head.headers["allow"]) == (405, "GET, HEAD")


async def test_without_a_changefeed_there_is_no_such_channel(connect: Connect) -> None:
    assert (await ask(await connect(), "GET /_changes/0"))[0].status == 404


# --- the server's own life ---


async def test_close_tells_those_who_wait_and_leaves_nothing(start: Start, dial: Any) -> None:
    before = asyncio.all_tasks()
    server = await start()
    reader, pending, writer, idle, unread = [await dial(server) for _ in range(5)]
    await writer.begin_post("/c/0")
    await writer.send_chunk(b"x")
    await reader.request("GET /c/1")
    await until(lambda: server.waiting == 1)
    await pending.begin_post("/c/1")
    await until(lambda: server.waiting == 2)
    await publish(idle, "/big/0", b"p" * (16 << 20))
    await unread.request("GET /big/0")
    await unread.head()

    begin = time.monotonic()
    await server.close()
    assert time.monotonic() - begin < 3.0
    for connection in (reader, pending):
        head = await connection.head()
        assert (head.status, head.headers["lp-trickle-closed"]) == (200, "terminated")
        assert await connection.rest() == b""
    assert await writer.rest() == b""
    assert await idle.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await RawHttp.connect(server.url)
    await server.close()  # again is no harm
    await until(lambda: asyncio.all_tasks() == before)


@pytest.mark.parametrize("option", ["sweep_interval_s", "continue_interval_s"])
def test_intervals_of_nothing_are_refused(option: str) -> None:
    options: dict[str, Any] = {option: 0.0}
    with pytest.raises(ValueError, match=option):
        TrickleServer(**options)


async def test_a_server_starts_once(server: TrickleServer) -> None:
    with pytest.raises(RuntimeError, match="started already"):
        await server.start()


async def test_a_port_in_use_is_an_error_and_nothing_stays(
    server: TrickleServer, start: Start
) -> None:
    port = int(server.url.rsplit(":", 1)[1].strip("/"))
    other = TrickleServer()
    with pytest.raises(OSError, match="address already in use"):
        await other.start(port=port)
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = other.url
