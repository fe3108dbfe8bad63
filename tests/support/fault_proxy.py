"""An HTTP proxy that breaks things on order.

    async with FaultProxy(server.url) as proxy:
        proxy.add(Fault("cut", method="POST", after=1000))
        ... proxy.url instead of server.url ...

Every request gets a connection of its own to the server, and the client's is closed after the
reply, so that bodies need not be understood. Bytes are counted as they are on the wire behind the
head: of the request for POST, of the reply for GET.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_READ = 65536
_AFTER = ("cut", "close", "stall")  # kinds that count bytes


@dataclass
class Fault:
    """What to do to a request that matches, and to how many of them.

    kind:
      cut     forward ``after`` body bytes, then reset the connection on both sides
      close   the same with an orderly close (FIN) instead of a reset
      status  answer ``status`` instead of asking the server
      stall   forward ``after`` body bytes, then hold back everything until ``proxy.resume()``
      delay   wait ``delay_s`` before the request is passed on
    """

    kind: str
    method: str | None = None
    path: str | None = None  # regular expression, searched in the request target
    after: int = 0
    times: int = 1  # then it is used up; -1: for ever
    status: int = 500
    delay_s: float = 0.0
    when: Callable[[str, str], bool] | None = None  # (method, target) -> applies
    hits: int = field(default=0, init=False)

    def applies(self, method: str, target: str) -> bool:
        return (
            self.times != 0
            and self.method in (None, method)
            and (self.path is None or re.search(self.path, target) is not None)
            and (self.when is None or self.when(method, target))
        )


class _Cut(Exception):
    pass


class FaultProxy:
    """See the module. ``requests`` lists (method, target) of every request head that came in."""

    def __init__(self, upstream: str) -> None:
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.refusing = False  # accept nothing: connections are reset at once
        self._upstream = upstream
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def url(self) -> str:
        path = urlsplit(self._upstream).path.rstrip("/")
        return f"http://127.0.0.1:{self._port}{path}"

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut_all()
        await self._server.wait_closed()

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def retarget(self, upstream: str) -> None:
        """New requests go to another server."""
        self._upstream = upstream

    def resume(self) -> None:
        """Let flow what a stall holds back."""
        self._flowing.set()

    async def cut_all(self) -> None:
        """Reset every connection there is, as a dying server does."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (_Cut, asyncio.CancelledError):
            _reset(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            _reset(writer)  # the client went away, or the server did
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            raise _Cut
        head = await reader.readuntil(_HEAD_END)
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self.requests.append((method, target))
        fault = self._fault_for(method, target)
        if fault is not None and fault.kind == "status":
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % fault.status
            )
            await writer.drain()
            return
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.delay_s)
        parts = urlsplit(self._upstream)
        up_reader, up_writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            up_writer.write(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await self._relay(method, fault, (reader, writer), (up_reader, up_writer))
        except (_Cut, asyncio.CancelledError):
            _reset(up_writer)
            raise
        finally:
            up_writer.close()

    def _fault_for(self, method: str, target: str) -> Fault | None:
        for fault in self.faults:
            if fault.applies(method, target):
                fault.times -= 1
                fault.hits += 1
                return fault
        return None

    async def _relay(
        self,
        method: str,
        fault: Fault | None,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Both directions, until the reply is over or something breaks."""
        posting = method == "POST"
        sending = asyncio.create_task(self._pump(client[0], server[1], fault if posting else None))
        replying = asyncio.create_task(
            self._reply(server[0], client[1], None if posting else fault)
        )
        try:
            # The client's side ends only when it goes away, the server's with its reply.
            await asyncio.wait({sending, replying}, return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, replying):
                if task.done():
                    task.result()
        finally:
            for task in (sending, replying):
                task.cancel()
            await asyncio.wait({sending, replying})

    async def _reply(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None
    ) -> None:
        while True:  # interim replies have heads of their own
            head = await reader.readuntil(_HEAD_END)
            writer.write(head)
            if not head.startswith(b"HTTP/1.1 1"):
                break
        await self._pump(reader, writer, fault)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None
    ) -> None:
        limit = fault.after if fault is not None and fault.kind in _AFTER else None
        seen = 0
        while True:
            if limit is not None and seen >= limit:
                assert fault is not None
                if fault.kind == "cut":
                    raise _Cut
                if fault.kind == "close":
                    return
                limit = None
                self._flowing.clear()
                await self._flowing.wait()
            data = await reader.read(_READ if limit is None else min(_READ, limit - seen))
            if not data:
                return
            seen += len(data)
            writer.write(data)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, so that the other side loses what it has not read."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
