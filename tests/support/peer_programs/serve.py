"""The peer's whole server: its HTTP API, and streams between two channels, frames unchanged.

Parameters: port.
"""

from __future__ import annotations

from pytrickle import StreamProcessor, VideoFrame
from pytrickle.frame_skipper import FrameSkipConfig

from tests.support.peer_programs.say import given


async def unchanged(frame: VideoFrame) -> VideoFrame:
    return frame


def main() -> None:
    processor = StreamProcessor(
        video_processor=unchanged,
        name="interop",
        host="127.0.0.1",
        port=given()["port"],
        # it would drop frames when the machine is busy: how many is not what is tested
        frame_skip_config=FrameSkipConfig(max_queue_size=1_000_000),
    )
    processor.run()


if __name__ == "__main__":
    main()
