"""The peer publishes the test pattern: its own encoder, its own segments, its own POSTs.

Parameters: url, frames, fps, width, height. Begins when it is told "go"; after the last frame
it waits for "end" before it ends its stream, so that a test sees what came until then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from fractions import Fraction

import torch
from pytrickle.encoder import default_output_metadata
from pytrickle.frames import VideoFrame, VideoOutput
from pytrickle.media import run_publish

from comfytrickle.testsrc.pattern import Pattern
from tests.support.peer_programs.say import given, say, told

CLOCK = 90_000


def pictures(frames: int, fps: int, width: int, height: int) -> Iterator[VideoOutput | None]:
    pattern = Pattern(width, height, fps)
    say("ready")
    told("go")
    began = time.monotonic()
    for n in range(frames):
        time.sleep(max(0.0, began + n / fps - time.monotonic()))  # its pace: it is live
        # half a level up: the peer's encoder cuts off what is behind the comma
        picture = (torch.from_numpy(pattern.render(n)).float().unsqueeze(0) + 0.5) / 255
        frame = VideoFrame(picture, (n + fps) * CLOCK // fps, Fraction(1, CLOCK))
        say("frame", n=n)
        yield VideoOutput(frame, "interop")
    told("end")
    yield None


def main() -> None:
    ask = given()
    url = ask.pop("url")
    metadata = default_output_metadata(ask["width"], ask["height"])
    metadata["audio"] = None
    each = pictures(**ask)
    asyncio.run(run_publish(url, lambda: next(each), lambda: metadata))
    say("over")


if __name__ == "__main__":
    main()
