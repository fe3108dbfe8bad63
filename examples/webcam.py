"""A camera through a workflow: frames go to a stream over a WebSocket and come back as pictures.

It needs a running control plane (``scripts/launch_pool.sh``), and no trickle server::

    python examples/webcam.py --source testsrc --workflow examples/workflows/invert.json \\
        --save out.mp4 --seconds 5

``--source`` is ``testsrc`` (a moving test pattern), a camera (``/dev/video0``) or a video file. It
ends with Ctrl-C, after ``--seconds``, or with the file.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from comfytrickle.client import (
    DEFAULT_URL,
    AsyncClient,
    AsyncPictures,
    AsyncStream,
    Ended,
    Picture,
    Refused,
    Unreachable,
)
from comfytrickle.testsrc.pattern import Pattern

CLOCK = 90_000  # ticks of pts in a second


def frames_of(source: str, width: int, height: int, fps: float) -> Iterator[tuple[Any, int]]:
    """Frames, uint8 [height, width, 3], with their pts from 0 on."""
    if source == "testsrc":
        pattern = Pattern(width, height, fps)
        for n in itertools.count():
            yield pattern.render(n), int(n * CLOCK / fps)
    camera = source.startswith("/dev/")
    options = {"framerate": f"{fps:g}", "video_size": f"{width}x{height}"} if camera else {}
    with av.open(source, format="v4l2" if camera else None, options=options) as container:
        first = None
        for frame in container.decode(video=0):
            if frame.time is not None:
                first = frame.time if first is None else first
                yield frame.to_ndarray(format="rgb24"), int((frame.time - first) * CLOCK)


class Film:
    """An MP4 of the pictures, at the times of their frames; it begins with the first one."""

    def __init__(self, path: Path) -> None:
        self._file = av.open(str(path), "w", format="mp4")
        self._video: Any = None
        self._first = 0
        self._last = -1

    def add(self, picture: Picture) -> None:
        if picture.pts is None or picture.pts <= self._last:
            return
        self._last = picture.pts
        if self._video is None:
            self._first = picture.pts
            self._video = self._file.add_stream("libx264", rate=30, options={"crf": "18"})
            # H.264 at 4:2:0 has even sizes; a picture of another size later on is scaled.
            self._video.width, self._video.height = picture.width & ~1, picture.height & ~1
            self._video.pix_fmt = "yuv420p"
            self._video.codec_context.time_base = Fraction(1, CLOCK)
        frame = av.VideoFrame.from_ndarray(picture.rgb(), "rgb24").reformat(
            self._video.width, self._video.height, "yuv420p"
        )
        frame.pts, frame.time_base = picture.pts - self._first, Fraction(1, CLOCK)
        self._file.mux(self._video.encode(frame))

    def close(self) -> None:
        if self._video is not None:
            self._file.mux(self._video.encode(None))
        self._file.close()


class Figures:
    def __init__(self) -> None:
        self.accepted = 0
        self.dropped: dict[str, int] = {}
        self.latency: list[float] = []  # seconds

    def __str__(self) -> str:
        sent = self.accepted + sum(self.dropped.values())
        dropped = ", ".join(f"{count} {why}" for why, count in self.dropped.items()) or "none"
        text = f"sent {sent} (dropped: {dropped}), came back {len(self.latency)}"
        if self.latency:
            p50, p99 = np.quantile(self.latency, [0.5, 0.99]) * 1000
            text += f", round trip p50 {p50:.1f} ms, p99 {p99:.1f} ms"
        return text


async def send(stream: AsyncStream, args: argparse.Namespace, figures: Figures) -> None:
    """Every frame at its time; then the stream is told that there are no more."""
    frames = frames_of(args.source, args.width, args.height, args.fps)
    async with stream.camera(end=True) as camera:
        began, told = time.monotonic(), 0.0
        # A camera may take a while for its next frame: waited for in a thread.
        while (item := await asyncio.to_thread(next, frames, None)) is not None:
            frame, pts = item
            at = pts / CLOCK
            if args.seconds is not None and at >= args.seconds:
                break
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            answer = await camera.send(frame, pts)
            if answer.accepted:
                figures.accepted += 1
            else:
                why = answer.reason or "?"
                figures.dropped[why] = figures.dropped.get(why, 0) + 1
            if at - told >= 1.0:
                told = at
                print(figures, flush=True)


async def watch(pictures: AsyncPictures, args: argparse.Namespace, figures: Figures) -> None:
    film = None if args.save is None else Film(args.save)
    try:
        async for picture in pictures:
            if picture.time is not None:
                figures.latency.append(picture.received - picture.time)
            if film is not None:
                await asyncio.to_thread(film.add, picture)
    finally:
        if film is not None:
            film.close()


async def run(args: argparse.Namespace) -> None:
    figures = Figures()
    size = {"width": args.width, "height": args.height}
    async with (
        AsyncClient(args.server, args.token) as client,
        await client.start(args.workflow, **size) as stream,
    ):
        status = await stream.wait_ready()
        print(f"{stream.id} on {status['device']}, worker {status['pid']}")
        # Connected before anything is sent: else the first frames would come back unseen.
        async with stream.frames(side=args.side, fps=60) as pictures:
            watching = asyncio.create_task(watch(pictures, args, figures))
            try:
                await send(stream, args, figures)
                await watching
            finally:
                watching.cancel()
                await asyncio.wait({watching})
                print(figures)
    if args.save is not None:
        print(f"saved {args.save}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Send a camera through a workflow.")
    parser.add_argument("--server", default=DEFAULT_URL, help="the control plane")
    parser.add_argument("--token", help="when the server asks for one")
    parser.add_argument("--source", default="testsrc", help="testsrc, /dev/video0, or a file")
    parser.add_argument("--workflow", type=Path, help="a file in API format (default: none)")
    parser.add_argument("--save", type=Path, metavar="FILE.mp4", help="what came back")
    parser.add_argument("--side", default="out", choices=("in", "out", "both"))
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--fps", type=float, default=30.0, help="of test pattern and camera")
    parser.add_argument("--seconds", type=float, help="how long (default: until Ctrl-C)")
    args = parser.parse_args()
    try:
        asyncio.run(run(args))
    except Refused as error:
        raise SystemExit(f"refused: {error} {error.node_errors or ''}") from None
    except (Ended, Unreachable, av.FFmpegError) as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        pass  # the usual way to end it
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
