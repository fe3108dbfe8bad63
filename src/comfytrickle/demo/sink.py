"""The demo's reader: takes the sink channel's bytes, decodes aside, and fills the ledger."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import AsyncIterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import av
import numpy as np

from comfytrickle.demo.ledger import Ledger
from comfytrickle.demo.workflows import CODEC_LOSS, RGB, DemoWorkflow, difference
from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.mpegts.units import AccessUnit
from comfytrickle.testsrc.pattern import Pattern
from comfytrickle.testsrc.reader import read_frame

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

Segments = AsyncIterable[AsyncIterable[bytes]]  # what a Subscriber is

_LOOK_EVERY = 15  # frames; looking at all pixels costs more than decoding
_CHANGED = 5.0  # levels: more than encoding twice changes on average
_BT709, _BT601, _FULL = 1, 5, 2


@dataclass(frozen=True, slots=True)
class _Look:
    """Differences in levels, None where the sizes differ or there is nothing to compare with."""

    from_source: float | None
    from_reference: float | None


class Sink:
    """Reads one channel to its end.

    The time of a frame is when its last byte was read; decoding happens later, in one thread, and
    does not count.
    """

    def __init__(
        self,
        ledger: Ledger,
        pattern: Pattern,
        workflow: DemoWorkflow,
        out: BinaryIO | None = None,
    ) -> None:
        self.ledger = ledger
        self._out = out  # gets a copy of every byte
        self.bytes = 0
        self.from_source: float | None = None  # the last look's difference, levels
        self.from_reference: float | None = None
        self._pattern = pattern
        self._workflow = workflow
        self._units: queue.SimpleQueue[list[AccessUnit] | None] = queue.SimpleQueue()
        self._arrived: dict[int | None, float] = {}
        self._frames = 0

    @property
    def changed(self) -> bool | None:
        """Whether the pictures differ from their source; None: not looked, or another size."""
        return None if self.from_source is None else self.from_source > _CHANGED

    async def run(self, segments: Segments) -> None:
        """Returns when the channel ended and everything that came is in the ledger."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "demo-decode") as pool:
            decoding = loop.run_in_executor(pool, self._decode_all, loop)
            try:
                await self._read(segments, decoding)
            finally:
                self._units.put(None)
            await decoding

    async def _read(self, segments: Segments, decoding: asyncio.Future[None]) -> None:
        demuxer = Demuxer()
        async for segment in segments:
            async for data in segment:
                self.bytes += len(data)
                self._hand_over(demuxer.feed(data, time.monotonic()))
                if self._out is not None:
                    self._out.write(data)
                if decoding.done():
                    return  # it failed; run() raises what it raised
            self._hand_over(demuxer.segment_end(time.monotonic()))
        self._hand_over(demuxer.flush(time.monotonic()))

    def _hand_over(self, units: list[AccessUnit]) -> None:
        if units:  # an empty list may be the demuxer's own, still to be filled
            self._units.put(units)

    # --- in the thread ---

    def _decode_all(self, loop: asyncio.AbstractEventLoop) -> None:
        decoder: VideoCodecContext | None = None
        while (units := self._units.get()) is not None:
            for unit in units:
                if unit.stream.kind != "video" or unit.stream.codec is None:
                    continue
                if decoder is None:
                    decoder = _open(unit.stream.codec)
                self._decode(decoder, unit, loop)
        if decoder is not None:
            for frame in decoder.decode(None):
                self._frame(frame, loop)

    def _decode(
        self, decoder: VideoCodecContext, unit: AccessUnit, loop: asyncio.AbstractEventLoop
    ) -> None:
        if unit.damaged:
            loop.call_soon_threadsafe(self._damaged)
        self._arrived[unit.pts] = unit.arrived
        packet = av.Packet(unit.data)
        packet.pts = unit.pts
        try:
            frames = decoder.decode(packet)
        except av.FFmpegError:
            loop.call_soon_threadsafe(self._damaged)
            return
        for frame in frames:
            self._frame(frame, loop)

    def _frame(self, frame: av.VideoFrame, loop: asyncio.AbstractEventLoop) -> None:
        arrived = self._arrived.pop(frame.pts, None)
        if arrived is None:
            return  # repeated by a decoder that conceals damage, which is counted already
        n = read_frame(frame)
        look = None
        if self._frames % _LOOK_EVERY == 0 and n is not None:
            look = self._look(frame, n)
        self._frames += 1
        loop.call_soon_threadsafe(self._account, n, arrived, frame.pts, look)

    def _look(self, frame: av.VideoFrame, n: int) -> _Look:
        source = self._pattern.render(n)
        got = _to_rgb(frame)
        reference = self._workflow.reference
        return _Look(
            difference(got, source),
            difference(got, reference(source)) if reference is not None else None,
        )

    # --- in the loop ---

    def _damaged(self) -> None:
        self.ledger.damaged += 1

    def _account(self, n: int | None, arrived: float, pts: int | None, look: _Look | None) -> None:
        self.ledger.received(n, arrived, pts)
        if look is None:
            return
        self.from_source = look.from_source
        if self._workflow.reference is not None:
            self.from_reference = look.from_reference
            right = look.from_reference is not None and look.from_reference < CODEC_LOSS
            self.ledger.picture(right)


def _open(codec: str) -> VideoCodecContext:
    decoder = av.CodecContext.create(codec, "r")
    decoder.thread_count = 1
    return decoder  # type: ignore[return-value]  # a video codec, as the stream's kind says


def _to_rgb(frame: av.VideoFrame) -> RGB:
    """By the matrix and range that the stream names; BT.601 limited where it names none."""
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace=_BT709 if frame.colorspace == _BT709 else _BT601,
        src_color_range=frame.color_range if frame.color_range == _FULL else 1,
        dst_color_range=_FULL,
        threads=1,
    ).to_ndarray()
    return rgb.astype(np.uint8, copy=False)
