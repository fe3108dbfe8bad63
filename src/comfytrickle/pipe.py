"""The status pipe: framed messages over one end of a stream socket pair, in an asyncio loop.

A frame on the wire is a 4-byte big-endian length and a msgpack body of that length. Both sides
use this class; what they may receive differs (:mod:`comfytrickle.messages`).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Generic, TypeVar

import msgspec

from comfytrickle.errors import ProtocolError
from comfytrickle.messages import Message

_LENGTH = struct.Struct(">I")
MAX_MESSAGE = 64 << 20  # a catalogue of a large ComfyUI is about 5 MB
MAX_UNSENT = 8 << 20  # a peer that does not read must not grow our memory

T = TypeVar("T")


class Pipe(Generic[T]):
    """One end of the status pipe. Owns the socket; ``close`` releases it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(incoming)

    @classmethod
    async def open(cls, sock: socket.socket, incoming: Any) -> Pipe[T]:
        """Take over ``sock``. ``incoming`` is the union of messages that may arrive."""
        reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 20)
        return cls(reader, writer, incoming)

    def send(self, message: Message) -> bool:
        """Queue a message without waiting.

        False: the peer is gone, or reads so slowly that MAX_UNSENT bytes are waiting; the
        message was not queued. Reports may then be skipped, a command's sender gives up.
        """
        transport = self._writer.transport
        if transport.is_closing() or transport.get_write_buffer_size() > MAX_UNSENT:
            return False
        body = self._encoder.encode(message)
        self._writer.write(_LENGTH.pack(len(body)) + body)
        return True

    async def flush(self, timeout: float) -> None:
        """Wait until what was queued is with the kernel, at most ``timeout`` seconds."""
        try:
            self._writer.transport.set_write_buffer_limits(high=0)
            await asyncio.wait_for(self._writer.drain(), timeout)
        except (ConnectionError, asyncio.TimeoutError):
            pass  # the peer is gone or stuck: whoever flushes is about to leave anyway

    async def receive(self) -> T | None:
        """The next message, or None at the end of the pipe (the peer died or closed).

        Raises ProtocolError for anything that is not a message of ours.
        """
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_MESSAGE:
                raise ProtocolError(f"status pipe: a message of {length} bytes was announced")
            body = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ProtocolError(f"status pipe: not a known message: {error}") from error

    def close(self) -> None:
        """Close at once. Idempotent."""
        self._writer.transport.abort()
