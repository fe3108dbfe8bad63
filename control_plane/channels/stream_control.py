"""Reads one stream's control channel, for as long as the stream lives, and applies what it says.

Messages that come faster than they can be applied become one change: later values win, and an event
says how many they were.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

from comfytrickle.errors import ComfytrickleError, InvalidWorkflow, TrickleError, Unavailable
from comfytrickle.trickle.channel_http import ChannelHttp
from comfytrickle.trickle.client_session import TRANSPORT_ERRORS, in_words
from comfytrickle.trickle.subscriber import Subscriber
from control_plane.channels.control_messages import BadMessage, Messages
from control_plane.shapes import requests
from control_plane.shapes.requests import ParamsRequest

log = logging.getLogger(__name__)

Apply = Callable[[ParamsRequest], Awaitable[int]]
Report = Callable[..., None]  # message, and details by keyword

_AGAIN_S = 2.0  # after the channel has refused, or gone


class StreamControl:
    """Owns the subscriber. ``apply`` makes a change and returns its revision; ``report`` is told
    what was wrong with a message, or how many were taken together."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, apply: Apply, report: Report
    ) -> None:
        self._session = session
        self._url = url
        self._apply = apply
        self._report = report
        self._waiting: list[ParamsRequest] = []
        self._came = asyncio.Event()

    async def serve(self) -> None:
        """Until cancelled."""
        applying = asyncio.create_task(self._apply_all())
        try:
            while True:
                try:
                    await self._read_channel()
                except TrickleError as error:
                    log.warning("control: %s", error)
                except TRANSPORT_ERRORS as error:
                    log.warning("control: %s: %s", self._url, in_words(error))
                await asyncio.sleep(_AGAIN_S)
        finally:
            applying.cancel()
            await asyncio.wait({applying})

    async def _read_channel(self) -> None:
        """From its next message to its end. Of a channel that is not there yet, every message."""
        start = await ChannelHttp(self._session, self._url).next()
        async with Subscriber(self._session, self._url, start=start or 0, live=False) as subscriber:
            lost = 0
            async for segment in subscriber:
                if (lost_now := subscriber.counters.segments_lost) > lost:
                    count, lost = lost_now - lost, lost_now
                    self._report(
                        f"{count} control messages came faster than they could be read: lost",
                        kind="control",
                        lost=count,
                    )
                messages = Messages()
                try:
                    async for piece in segment:
                        self._take(messages.feed(piece))
                    self._take(messages.end())
                except BadMessage as error:
                    self._refuse(f"control message: {error}")

    def _take(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            try:
                change = requests.read_params(message)
            except ComfytrickleError as error:
                self._refuse(f"control message: {error}", error)
                continue
            if change.ignored:
                log.info("control: ignored: %s", ", ".join(change.ignored))
            self._waiting.append(change)
            self._came.set()

    async def _apply_all(self) -> None:
        while True:
            if not self._waiting:
                self._came.clear()
                await self._came.wait()
            changes, self._waiting = self._waiting, []
            merged = merge(changes)
            if len(changes) > 1 and await self._try(merged, quietly=True):
                self._report(
                    f"{len(changes)} control messages were applied as one change",
                    type="params_coalesced",
                    messages=len(changes),
                )
            else:  # one by one, so that what is wrong with one does not cost the others
                for change in changes:
                    await self._try(change)

    async def _try(self, change: ParamsRequest, quietly: bool = False) -> bool:
        while True:
            try:
                await self._apply(change)
                return True
            except Unavailable as error:
                log.info("control: %s; once more", error)
                await asyncio.sleep(_AGAIN_S)  # it loads, or its worker is being replaced
            except ComfytrickleError as error:
                if not quietly:
                    self._refuse(f"control message: {error}", error)
                return False

    def _refuse(self, message: str, error: ComfytrickleError | None = None) -> None:
        log.warning("%s: %s", self._url, message)
        details = error.node_errors() if isinstance(error, InvalidWorkflow) else None
        self._report(message, kind="params", node_errors=details)


def merge(changes: list[ParamsRequest]) -> ParamsRequest:
    """As if they had come one after another: the later values. Pure."""
    merged: dict[str, Any] = {}
    for change in changes:
        merged.update((k, v) for k, v in msgspec.structs.asdict(change).items() if v is not None)
    return ParamsRequest(**merged)
