"""The requests of the trickle protocol on one channel, one method each. No policy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from comfytrickle.errors import TrickleError
from comfytrickle.trickle.client_session import LONG_POLL, SHORT
from comfytrickle.trickle.protocol import (
    HEADER_CLOSED,
    HEADER_EXPECT_CONTENT,
    HEADER_LATEST,
    HEADER_SEQ,
    HEADER_WRITERS,
    STATUS_NOT_IN_WINDOW,
)

# A compressed body would be held back until a block is full.
_HEADERS = {"Accept-Encoding": "identity"}
# 408, 425 and 429 are said about the moment, as 5xx are.
_PASSING = frozenset({408, 425, 429})
PROBE_HEADER_S = 0.15
PROBE_QUIET_S = 0.1


def is_passing(status: int) -> bool:
    """Worth another try as it is: the server's trouble, not the request's."""
    return status >= 500 or status in _PASSING


def segment_url(channel: URL, tail: int | str) -> URL:
    """``channel`` with ``/tail`` behind its path. Percent-encoding and query stay."""
    path = f"{channel.raw_path.rstrip('/')}/{tail}"
    return channel.with_path(path, encoded=True).with_query(channel.query)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the status line and the headers of a reply say."""

    status: int
    seq: int | None = None
    latest: int | None = None
    closed: bool = False
    empty: bool = False  # Content-Length: 0
    writers: int | None = None


def parse_answer(status: int, headers: Mapping[str, str]) -> Answer:
    """Read a reply's head. A number that is none counts as absent."""
    return Answer(
        status=status,
        seq=_number(headers.get(HEADER_SEQ)),
        latest=_number(headers.get(HEADER_LATEST)),
        closed=bool(headers.get(HEADER_CLOSED)),
        empty=headers.get("Content-Length") == "0",
        writers=_number(headers.get(HEADER_WRITERS)),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Standing:
    """What GET /c/next says. ``writers``: POSTs that are open; None: this server does not tell."""

    next: int
    writers: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """What a server has of a segment."""

    size: int = 0  # bytes
    finished: bool = False  # it will not grow any more
    channel_exists: bool = True


class ChannelHttp:
    """One channel's URL on one session.

    All methods raise one of TRANSPORT_ERRORS when no answer came, and TrickleError when the
    server's certificate does not verify.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = URL(url)

    @property
    def url(self) -> str:
        return str(self._url)

    def refusal(self, status: int, tail: int | str | None = None) -> TrickleError:
        """The error for a status that no retry can mend."""
        url = self._url if tail is None else segment_url(self._url, tail)
        return TrickleError(f"trickle server answered {status}", url=str(url), status=status)

    async def get(self, seq: int) -> aiohttp.ClientResponse:
        """GET /c/seq. Returns when the headers are there, which may take for ever."""
        return await self._request("GET", segment_url(self._url, seq), timeout=LONG_POLL)

    async def post(
        self, seq: int, body: aiohttp.payload.Payload, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """POST /c/seq. Returns with the answer, which comes after the body's end."""
        return await self._request(
            "POST",
            segment_url(self._url, seq),
            timeout=LONG_POLL,
            data=body,
            headers=headers,
            allow_redirects=False,  # a body that is being made cannot be sent again
        )

    async def create(self, mime: str) -> bool:
        """POST /c. False: it is not there, and this server does not make channels on request."""
        answer = await self._short("POST", self._url, {HEADER_EXPECT_CONTENT: mime})
        if answer.status == 404:
            return False
        if answer.status != 200:
            raise self._unfit(answer.status)
        return True

    async def delete(self, seq: int | None = None) -> None:
        """DELETE /c, or one segment of it; that there was none (400, 404) is as good."""
        url = self._url if seq is None else segment_url(self._url, seq)
        status = (await self._short("DELETE", url)).status
        if status not in (200, 400, 404):
            raise self._unfit(status, seq)

    async def next(self) -> int | None:
        """GET /c/next: the channel's next seq; None if there is no such channel."""
        standing = await self._standing({})
        return None if standing is None else standing.next

    async def standing(self) -> Standing | None:
        """GET /c/next, and who writes; None if there is no such channel."""
        return await self._standing({HEADER_WRITERS: "?"})

    async def _standing(self, headers: Mapping[str, str]) -> Standing | None:
        answer = await self._short("GET", segment_url(self._url, "next"), headers)
        if answer.status == 404:
            return None
        if answer.status != 200 or answer.latest is None:
            raise self._unfit(answer.status, "next")
        return Standing(answer.latest, answer.writers)

    async def probe(self, seq: int) -> Held:
        """Ask how much of segment ``seq`` the server has.

        There is no request for that: the segment is read until it ends or goes quiet. How long
        to wait for "quiet" follows the round trip, taken from ``/next``. Raises
        TrickleError on a status that has no place here.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        next_seq = await self.next()
        trip = loop.time() - start
        if next_seq is None:
            return Held(channel_exists=False)
        getting = asyncio.ensure_future(self.get(seq))
        response: aiohttp.ClientResponse | None = None
        try:
            await asyncio.wait({getting}, timeout=max(PROBE_HEADER_S, 3 * trip))
            if not getting.done():
                return Held()  # the server waits with us: nothing of it is there
            response = getting.result()
            if response.status == 404:
                return Held(channel_exists=False)
            if response.status == STATUS_NOT_IN_WINDOW:
                return Held()
            if response.status != 200:
                raise self._unfit(response.status, seq)
            return await _measure(response, max(PROBE_QUIET_S, 2 * trip))
        finally:
            await discard(getting)

    def _unfit(self, status: int, tail: int | str | None = None) -> Exception:
        if is_passing(status):
            return aiohttp.ClientConnectionError(f"{self._url}: {status}")
        return self.refusal(status, tail)

    async def _short(
        self, method: str, url: URL, headers: Mapping[str, str] | None = None
    ) -> Answer:
        response = await self._request(method, url, timeout=SHORT, headers=headers or {})
        try:
            return parse_answer(response.status, response.headers)
        finally:
            response.release()

    async def _request(
        self,
        method: str,
        url: URL,
        *,
        timeout: aiohttp.ClientTimeout,
        data: aiohttp.payload.Payload | None = None,
        headers: Mapping[str, str] | None = None,
        allow_redirects: bool = True,
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.request(
                method,
                url,
                data=data,
                headers={**_HEADERS, **(headers or {})},
                timeout=timeout,
                allow_redirects=allow_redirects,
            )
        except aiohttp.ClientConnectorCertificateError as error:
            raise TrickleError(f"certificate does not verify: {error}", url=str(url)) from error


async def discard(getting: asyncio.Future[aiohttp.ClientResponse]) -> None:
    """End a request that nobody wants any more, in whatever state it is, and its connection."""
    getting.cancel()
    await asyncio.wait({getting})
    if not getting.cancelled() and getting.exception() is None:
        getting.result().close()


async def _measure(response: aiohttp.ClientResponse, quiet_s: float) -> Held:
    size = 0
    while True:
        reading = asyncio.ensure_future(response.content.readany())
        try:
            await asyncio.wait({reading}, timeout=quiet_s)
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})
        if reading.cancelled():
            return Held(size)
        data = reading.result()
        if not data:
            return Held(size, finished=True)
        size += len(data)
