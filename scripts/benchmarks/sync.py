"""The measures of scripts/bench_sync.py."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import feed, stack
from comfytrickle.mpegts.demux import Demuxer
from comfytrickle.testsrc.sync import hear, offsets
from comfytrickle.trickle.client_session import open_session
from comfytrickle.trickle.subscriber import Subscriber

PACK = """
import time

class TakesTime:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "ms": ("INT", {"default": 5})}}

    def execute(self, image, ms):
        time.sleep(ms / 1000)
        return (image,)

NODE_CLASS_MAPPINGS = {"TakesTime": TakesTime}
"""
PIECE_MS = 100.0
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("passed on", 5, {}),
    ("passed on", 60, {}),
    ("encoded anew (opus)", 5, {"encode": {"audio": "opus"}}),
    ("through the workflow", 5, {"sound": True}),
    ("through the workflow", 60, {"sound": True}),
]


def workflow(ms: int, *, sound: bool) -> dict[str, Any]:
    graph: dict[str, Any] = {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "2": {"class_type": "TakesTime", "inputs": {"image": ["1", 0], "ms": ms}},
        "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
    }
    if sound:
        graph["4"] = {"class_type": "LoadAudioTensor", "inputs": {"buffer_size": PIECE_MS}}
        graph["5"] = {"class_type": "SaveAudioTensor", "inputs": {"audio": ["4", 0]}}
    return graph


async def read(url: str) -> bytes:
    """A channel, to its end."""
    data = bytearray()
    async with open_session() as session, Subscriber(session, url, start=0) as subscriber:
        async for segment in subscriber:
            async for piece in segment:
                data += piece
    return bytes(data)


def units(data: bytes) -> int:
    """Audio units in a transport stream."""
    demuxer = Demuxer()
    found = [*demuxer.feed(data, 0.0), *demuxer.flush(0.0)]
    return sum(unit.stream.kind == "audio" for unit in found)


def figures(data: bytes) -> dict[str, Any]:
    found = offsets(data)
    heard = hear(data)
    answer: dict[str, Any] = {"seconds": len(found), "audio_units": units(data)}
    for name in ("true", "seen"):
        times = sorted(abs(getattr(one, name)) * 1e3 for one in found)
        answer[f"{name}_p50_ms"] = feed.quantile(times, 0.5)
        answer[f"{name}_p99_ms"] = feed.quantile(times, 0.99)
    answer["drift_ms"] = round((found[-1].true - found[0].true) * 1e3, 3) if found else None
    answer["gaps_ms"] = round(heard.gaps * 1e3, 1)
    return answer


async def one(
    pool: stack.Stack, number: int, ms: int, params: dict[str, Any], seconds: int, size: str
) -> dict[str, Any]:
    name = f"sync-{number}"
    params = dict(params)
    graph = workflow(ms, sound=params.pop("sound", False))
    url = pool.channels + name
    source = asyncio.create_task(read(url + "-in"))
    sink = asyncio.create_task(read(url + "-out"))
    await pool.start(name, prompt=graph, **params)
    publisher = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "comfytrickle.cli.main", "publish", "testsrc", url + "-in",
        "--beep", "--size", size, "--seconds", str(seconds), "--json",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env=stack.environment(),
    )  # fmt: skip
    await publisher.wait()
    before, after = await source, await sink
    status = await pool.call("GET", f"/stream/{name}/status")
    row = await asyncio.to_thread(figures, after)
    row["floor"] = await asyncio.to_thread(figures, before)
    row["audio"] = status["audio"]
    row["frames"] = status["frames"]
    return row


async def measure(seconds: int, size: str) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "takes_time.py"
        pack.write_text(PACK)
        async with stack.running("--nodes", str(pack)) as pool:
            for number, (way, ms, params) in enumerate(CASES):
                row = await one(pool, number, ms, params, seconds, size)
                rows.append({"sound": way, "ms_per_frame": ms, **row})
                show(rows[-1])
    return rows


def show(row: dict[str, Any]) -> None:
    frames, floor = row["frames"], row["floor"]
    print(
        f"{row['sound']:22} {row['ms_per_frame']:3} ms  "
        f"true {row['true_p50_ms']:7} / {row['true_p99_ms']:7}  "
        f"seen {row['seen_p50_ms']:7} / {row['seen_p99_ms']:7}  drift {row['drift_ms']:7}  "
        f"gaps {row['gaps_ms']:5}  beeps {row['seconds']:3}  "
        f"audio {row['audio']['in']}->{row['audio']['out']}  "
        f"frames {frames['in']}->{frames['out']}  "
        f"(floor true {floor['true_p50_ms']} / {floor['true_p99_ms']})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Is sound in step with its picture?")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print("offsets of sound to picture in ms, p50 / p99 of each second")
    rows = asyncio.run(measure(args.seconds, args.size))
    if args.json:
        print(json.dumps(rows))
