"""The paced floor: the least that a graph which must see a tensor costs, without network.

One thread, kept buffers, fed at the clip's own rate (sleeping between frames costs caches and
clock, so a loop that runs flat out is no floor for a live stream). The way back to YUV averages
chroma over whole pixels (AREA), as ours does: the floor of the same pictures. POINT is cheaper and
takes chroma from every other line alone (mean error on noise: 9 of 255 in place of 0.3); that floor
is told beside it. Run as a process of its own:

    python -m benchmarks.floor WIDTH HEIGHT SECONDS AREA|POINT

prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from fractions import Fraction

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter

from benchmarks.clip import FPS, encode


def measure(width: int, height: int, seconds: float, chroma: str) -> dict[str, float]:
    """CPU milliseconds a frame: decode, RGB, float tensor, and all the way back."""
    units = encode(width, height)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, FPS), 1
    encoder.options = {"preset": "superfast", "tune": "zerolatency", "crf": "23", "g": str(FPS)}
    to_rgb, to_yuv = VideoReformatter(), VideoReformatter()
    as_float = torch.empty((1, height, width, 3))
    scaled = torch.empty_like(as_float)
    as_bytes = np.empty((height, width, 3), np.uint8)

    def one(data: bytes, number: int) -> int:
        packets = 0
        for frame in decoder.decode(av.Packet(data)):
            rgb = to_rgb.reformat(
                frame, format="rgb24", interpolation=Interpolation.POINT, threads=1
            )
            plane = rgb.planes[0]
            flat = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
            pixels = flat[:, : width * 3].reshape(height, width, 3)
            as_float[0].copy_(torch.from_numpy(pixels))
            as_float.mul_(1 / 255)
            torch.mul(as_float, 255, out=scaled)
            scaled.add_(0.5).clamp_(0, 255)
            np.copyto(as_bytes, scaled[0].numpy(), casting="unsafe")
            back = av.VideoFrame.from_numpy_buffer(as_bytes, format="rgb24")
            yuv = to_yuv.reformat(
                back, format="yuv420p", interpolation=Interpolation[chroma], threads=1
            )
            yuv.pts = number
            packets += len(encoder.encode(yuv))
        return packets

    warm = 2 * FPS
    total = warm + int(seconds * FPS)
    due = time.monotonic()
    begun = 0.0
    out = 0
    for number in range(total):
        if number == warm:
            begun, out = time.process_time(), 0
        pause = due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        due += 1 / FPS
        out += one(units[number % len(units)].data, number)
    spent = time.process_time() - begun
    return {"cpu_ms_per_frame": round(spent / max(out, 1) * 1e3, 3), "frames": out}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])))
