"""The peer subscribes: its own GETs, its own decoder.

Parameters: url, width, height (frames are scaled to it), max_framerate, out. Writes each frame to
the file ``out`` as rgb24, and says so. Begins when it is told "go"; ends by itself when the channel
does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from pytrickle.cache import LastValueCache
from pytrickle.frames import AudioFrame, VideoFrame
from pytrickle.media import run_subscribe

from tests.support.peer_programs.say import given, say, told


def main() -> None:
    ask = given()
    with Path(ask.pop("out")).open("wb") as file:

        def take(frame: VideoFrame | AudioFrame | None) -> None:
            if isinstance(frame, VideoFrame):
                picture = (frame.tensor.squeeze(0) * 255).round().byte()
                file.write(picture.numpy().tobytes())
                say("frame", pts=float(frame.timestamp * frame.time_base))

        asyncio.run(subscribe(take, **ask))
    say("over")


async def subscribe(
    take: Callable[[VideoFrame | AudioFrame | None], None],
    url: str,
    width: int,
    height: int,
    max_framerate: int,
) -> None:
    say("ready")
    told("go")
    metadata = LastValueCache()
    await run_subscribe(url, take, metadata.put, None, width, height, max_framerate)


if __name__ == "__main__":
    main()
