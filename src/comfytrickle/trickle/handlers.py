"""What a trickle server answers to each request. "Row" numbers are those of docs/trickle.md."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import HttpVersion11, hdrs, web

from comfytrickle.trickle import replies
from comfytrickle.trickle.egress import Egress, first_byte_or_close
from comfytrickle.trickle.ingest import Ingest, Outcome
from comfytrickle.trickle.protocol import (
    HEADER_EXPECT_CONTENT,
    HEADER_RESET,
    HEADER_WRITERS,
    SEQ_CURRENT,
    SEQ_NEXT,
)
from comfytrickle.trickle.replies import trickle_headers
from comfytrickle.trickle.segment import Segment
from comfytrickle.trickle.store import CHANGES, Channel, Limits, Store, StoreFull
from comfytrickle.trickle.target import NEXT, Moved, Target, parse_index, parse_target

_ALLOW_CHANNEL = "DELETE, POST"
_ALLOW_SEGMENT = "DELETE, GET, HEAD, POST"
_ALLOW_READ = "GET, HEAD"
_CLOSE_GRACE_S = 0.1  # for the last replies of a closing server


class _Busy(Exception):
    """``Limits.max_waiting`` requests wait already."""


class _Waiting:
    """One place among the requests that have moved no byte yet."""

    def __init__(self, owner: Handlers) -> None:
        if owner.waiting >= owner.max_waiting:
            raise _Busy
        self._owner: Handlers | None = owner
        owner.waiting += 1

    def leave(self) -> None:
        if self._owner is not None:
            self._owner.waiting -= 1
            self._owner = None


class Handlers:
    """Takes requests to the store and back; owns what is in flight and the abort graces."""

    def __init__(
        self,
        store: Store,
        *,
        base: str,
        autocreate: bool,
        changefeed: bool,
        abort_grace_s: float,
        continue_interval_s: float,
        limits: Limits,
    ) -> None:
        self._store = store
        self._base = base
        self._autocreate = autocreate
        self._changefeed = changefeed
        self._abort_grace_s = abort_grace_s
        self._continue_interval_s = continue_interval_s
        self._limits = limits
        self.max_waiting = limits.max_waiting
        self.waiting = 0
        self._in_flight: set[asyncio.Task[Any]] = set()
        self._graces: dict[Segment, asyncio.TimerHandle] = {}

    @property
    def active(self) -> int:
        """How many requests are being served."""
        return len(self._in_flight)

    async def shut_down(self) -> None:
        """End all channels, let the waiting requests answer, cut off the others."""
        self._store.close()
        for timer in self._graces.values():
            timer.cancel()
        self._graces.clear()
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=_CLOSE_GRACE_S)
        # Left over: a publisher in the middle of a body, a reader that does not read.
        for task in self._in_flight:
            task.cancel()
        if self._in_flight:
            await asyncio.wait(self._in_flight)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request at all."""
        task = asyncio.current_task()
        assert task is not None
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)
        try:
            reply = await self._route(request)
        except _Busy:
            reply = replies.error(503, "Too many waiting requests", close=True)
        except StoreFull:
            reply = replies.error(503, "Too many channels", close=True)
        if not reply.prepared and not request.content.is_eof():
            reply.force_close()  # the rest of an unwanted body is no place for a next request
        return reply

    async def _route(self, request: web.Request) -> web.StreamResponse:
        raw = request.raw_path
        if not raw.startswith("/"):  # the absolute form, as proxies get it
            raw = request.rel_url.raw_path_qs
        try:
            target = parse_target(raw, self._base)
        except Moved as moved:
            return web.Response(status=301, headers={hdrs.LOCATION: moved.location})
        except UnicodeDecodeError:
            return replies.error(400, "Invalid name")
        if target is None:
            return replies.error(404, "404 page not found")
        method = request.method
        reading = method in (hdrs.METH_GET, hdrs.METH_HEAD)
        if self._changefeed and target.name == CHANGES and not reading:
            return replies.not_allowed(_ALLOW_READ)
        if target.sub is None:
            if method == hdrs.METH_POST:
                return self._create(request, target)
            if method == hdrs.METH_DELETE:
                return self._delete(target)
            return replies.not_allowed(_ALLOW_CHANNEL)
        if reading:
            return await self._get(request, target, target.sub)
        if method == hdrs.METH_POST:
            return await self._post(request, target, target.sub)
        if method == hdrs.METH_DELETE:
            return self._delete_segment(target, target.sub)
        return replies.not_allowed(_ALLOW_SEGMENT)

    def _create(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Rows 1, 2."""
        if not self._autocreate and self._store.get(target.name) is None:
            return replies.no_stream()
        self._store.create(target.name, request.headers.get(HEADER_EXPECT_CONTENT, ""))
        return replies.empty()

    def _delete(self, target: Target) -> web.StreamResponse:
        """Row 31."""
        if self._store.delete(target.name):
            return replies.empty()
        return replies.error(400, "Invalid stream")

    def _delete_segment(self, target: Target, index: str) -> web.StreamResponse:
        """Rows 32, 33, 38."""
        channel = self._store.get(target.name)
        if channel is None:
            return replies.no_stream()
        seq = parse_index(index)
        if seq is None or seq < 0:
            return replies.invalid_index()
        if channel.delete_segment(seq):
            return replies.empty()
        return replies.error(400, "Nonexistent segment")

    # --- POST ---

    async def _post(self, request: web.Request, target: Target, index: str) -> web.StreamResponse:
        """Rows 3 to 14, 28, 29."""
        seq = parse_index(index)
        if seq is None or seq < SEQ_NEXT:
            return replies.invalid_index()
        if not self._autocreate and self._store.get(target.name) is None:
            return replies.no_stream(close=True)
        if (request.content_length or 0) > self._limits.max_segment_bytes:
            return replies.segment_too_large()
        place = _Waiting(self)
        try:
            channel = self._store.create(target.name, request.headers.get(hdrs.CONTENT_TYPE, ""))
            seq = channel.resolve(seq)
            segment = channel.open_for_write(seq, reset=bool(request.headers.get(HEADER_RESET)))
            if segment.closed:
                headers = trickle_headers(seq=seq, latest=channel.next)
                return replies.empty(headers, close=True)
            return await self._receive(request, channel, segment, place)
        finally:
            place.leave()

    async def _receive(
        self, request: web.Request, channel: Channel, segment: Segment, place: _Waiting
    ) -> web.StreamResponse:
        grace = self._graces.pop(segment, None)
        if grace is not None:
            grace.cancel()
        outcome = Outcome.LOST
        try:
            outcome = await Ingest(
                request,
                channel,
                segment,
                on_first_byte=place.leave,
                max_bytes=self._limits.max_segment_bytes,
                continue_interval_s=self._continue_interval_s,
            ).run()
        finally:
            if outcome is not Outcome.LOST:
                channel.finish(segment)
            elif channel.leave(segment):
                self._give_grace(channel, segment)
        if outcome is Outcome.LOST:
            return replies.error(500, "Broken body", close=True)
        if outcome is Outcome.TOO_LARGE:
            return replies.segment_too_large()
        if outcome is Outcome.ENDED:
            return replies.empty(trickle_headers(seq=segment.seq))
        headers = trickle_headers(seq=segment.seq, closed=channel.closed)
        return replies.empty(headers, close=True)

    def _give_grace(self, channel: Channel, segment: Segment) -> None:
        """The publisher may come back to this segment for a while; then its readers go on."""

        def expire() -> None:
            del self._graces[segment]
            if channel.is_orphan(segment):
                segment.close()

        loop = asyncio.get_running_loop()
        self._graces[segment] = loop.call_later(self._abort_grace_s, expire)

    # --- GET ---

    async def _get(self, request: web.Request, target: Target, index: str) -> web.StreamResponse:
        """Rows 15 to 27, 30, 37."""
        channel = self._store.get(target.name)
        if channel is None:
            return replies.no_stream()
        latest = channel.next
        if index == NEXT:
            asked = HEADER_WRITERS in request.headers
            return replies.next_number(latest, channel.writers if asked else None)
        seq = parse_index(index)
        if seq is None or seq < SEQ_CURRENT:
            return replies.invalid_index()
        seq = channel.resolve(seq)
        segment = channel.open_for_read(seq)
        if segment is None:
            return replies.not_in_window(seq, latest)
        if not segment.size and not segment.closed:
            place = _Waiting(self)
            try:
                await first_byte_or_close(segment)
            finally:
                place.leave()
        if not segment.size:
            headers = trickle_headers(seq=seq, latest=channel.next, closed=channel.closed)
            return replies.empty(headers)
        return await self._send(request, channel, segment, latest)

    async def _send(
        self, request: web.Request, channel: Channel, segment: Segment, latest: int
    ) -> web.StreamResponse:
        headers = trickle_headers(seq=segment.seq, latest=None if latest == segment.seq else latest)
        headers[hdrs.CONTENT_TYPE] = channel.mime or "application/octet-stream"
        reply = web.StreamResponse(headers=headers)
        chunked = request.version >= HttpVersion11
        if chunked:
            reply.enable_chunked_encoding()
        await reply.prepare(request)
        transport = request.transport
        if request.method != hdrs.METH_HEAD and transport is not None:
            await Egress(
                segment,
                request.writer,
                transport,
                chunked=chunked,
                stall_s=self._limits.reader_stall_s,
            ).run()
        return reply
