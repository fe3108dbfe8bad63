"""Pay for what only the first frame costs before there is a first frame.

Codec tables, the scaler's choice of routines, torch's dispatcher and the pages behind all that cost
over a hundred milliseconds once. Paid in the fork server, every worker starts with it paid.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from comfytrickle.messages import EncodeConfig
from comfytrickle.mpegts.units import CLOCK, AccessUnit, ElementaryStream
from workers.engine.bridge import FrameBridge
from workers.media.colour import untagged
from workers.media.decode import Decoder
from workers.media.encode import Encoder
from workers.media.encode_options import X264
from workers.media.frames import Frame

_STREAM = ElementaryStream(pid=0x100, stream_type=0x1B, kind="video", codec="h264")
_FRAMES = 3  # a keyframe, one that predicts from it, and one with every buffer in place


def warm_up(width: int = 512, height: int = 512) -> None:
    """A few frames the whole way: encode, decode, to float and back.

    Touches neither CUDA nor NVENC and leaves no thread behind, so that a process which has done it
    may still fork. For that, torch is set to one thread and stays so: raising the number starts
    threads at once, which is for the worker to do.
    """
    torch.set_num_threads(1)
    encoder = Encoder(EncodeConfig(encoder=X264))
    decoder = Decoder("h264", (width, height))
    bridge = FrameBridge(torch.device("cpu"))
    colour = untagged(height)
    ramp = (np.arange(width * height * 3, dtype=np.uint32) >> 6).astype(np.uint8)
    picture = ramp.reshape(height, width, 3)
    try:
        for number in range(_FRAMES):
            now = time.monotonic()
            shifted = np.roll(picture, 8 * number, axis=1)
            pts = number * CLOCK // 30
            for encoded in encoder.encode(Frame(shifted, pts, colour, arrived=now)):
                unit = AccessUnit(_STREAM, encoded.data, encoded.pts, encoded.dts, now)
                for frame in decoder.decode(unit):
                    bridge.download(bridge.upload(frame.rgb))
    finally:
        decoder.close()
        encoder.close()
