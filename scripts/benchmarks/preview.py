"""The measures of scripts/bench_preview.py."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
import timeit
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import aiohttp
import psutil

from benchmarks import clip, feed, stack
from comfytrickle.frame_message import HEADER_BYTES, Header, Kind, unpack
from comfytrickle.testsrc import counter
from comfytrickle.testsrc.pattern import Pattern
from workers.ends.outlet import Outlet
from workers.media.jpeg import JpegDecoder, JpegEncoder

VIEWERS = ("side=out", "side=out", "side=in", "side=both")
SETTLE_S = 1.5  # also for what lingers after the last viewer
CAMERA_FPS = 15
CAMERA_SIZE = (512, 512)


@dataclass
class Phase:
    """All that was measured alone, or with viewers."""

    latencies: list[float] = field(default_factory=list)  # ms
    p50s: list[float] = field(default_factory=list)  # of each round
    frames: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0

    def show(self) -> dict[str, float | None]:
        times = sorted(self.latencies)
        return {
            "fps": round(self.frames / self.seconds, 3),
            "latency_p50_ms": feed.quantile(times, 0.5),
            "latency_p95_ms": feed.quantile(times, 0.95),
            "median_of_rounds_p50_ms": round(median(self.p50s), 3),
            "worker_cpu_ms_per_frame": round(self.cpu_s / self.frames * 1e3, 3),
        }


@contextlib.asynccontextmanager
async def viewers(pool: stack.Stack, name: str, counts: list[list[int]]) -> AsyncIterator[None]:
    """Four of them, in a process of their own. ``counts``: where the pictures of each go."""
    base = pool.api.replace("http", "ws", 1) + f"/stream/{name}/frames?"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.viewers", *(base + query for query in VIEWERS),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=stack.environment(),
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    assert await process.stdout.readline() == b"watching\n"
    try:
        yield
    finally:
        process.stdin.close()
        counts.append(json.loads(await process.stdout.readline()))
        await process.wait()


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


async def measure(phase: Phase, pid: int, source: feed.Times, sink: feed.Times, s: float) -> None:
    await asyncio.sleep(SETTLE_S)
    begun, cpu = time.monotonic(), cpu_seconds(pid)
    await asyncio.sleep(s)
    now = time.monotonic()
    phase.cpu_s += cpu_seconds(pid) - cpu
    phase.seconds += now - begun
    came = [(pts, at) for pts, at in sink.read.items() if begun <= at < now]
    phase.frames += len(came)
    times = sorted((at - source.written[pts]) * 1e3 for pts, at in came if pts in source.written)
    phase.latencies += times
    phase.p50s.append(feed.quantile(times, 0.5) or 0.0)


async def watched(
    pool: stack.Stack, size: tuple[int, int], seconds: float, rounds: int
) -> dict[str, Any]:
    """Alone, watched, alone, watched ... so that what the machine does meets both alike."""
    name = "bench-watched"
    units = clip.encode(*size)
    alone, crowd, counts = Phase(), Phase(), []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        source, sink = feed.Times(), feed.Times()
        url = pool.channels + name
        feeding = asyncio.create_task(feed.feed(session, url + "-in", units, source))
        reading = asyncio.create_task(feed.read(session, url + "-out", sink))
        try:
            pid = (await pool.start(name))["pid"]
            await asyncio.sleep(3.0)
            for _ in range(rounds):
                await measure(alone, pid, source, sink, seconds)
                async with viewers(pool, name, counts):
                    await measure(crowd, pid, source, sink, seconds)
            status = await pool.call("GET", f"/stream/{name}/status")
            await pool.call("POST", f"/stream/{name}/stop?wait=30")
        finally:
            for task in (feeding, reading):
                task.cancel()
            await asyncio.gather(feeding, reading, return_exceptions=True)
    ours, theirs = alone.show(), crowd.show()
    return {
        "alone": ours,
        "with_4_viewers": theirs,
        "ratio": {
            key: round((theirs[key] or 0) / ours[key], 4) if ours[key] else None for key in ours
        },
        "pictures_a_second": [
            round(sum(column) / (crowd.seconds + rounds * SETTLE_S), 1)
            for column in zip(*counts, strict=True)
        ],
        "dropped": status["frames"]["dropped"],
    }


def unwatched() -> dict[str, float]:
    """What a frame pays for the outlet when nobody watches: the looks at one attribute."""
    outlet = Outlet(None)
    runs = 1_000_000
    looks, empty = (
        min(timeit.repeat(statement, globals={"o": outlet}, number=runs, repeat=5))
        for statement in ("o.watches_input; o.watches_output", "pass")
    )
    return {"ns_per_frame": round((looks - empty) / runs * 1e9, 1)}


async def camera(pool: stack.Stack, seconds: float) -> dict[str, Any]:
    """From the moment a picture is handed to the socket until what became of it has been read."""
    name = "bench-camera"
    await pool.call("POST", "/stream/start", {"gateway_request_id": name})
    pattern, encoder, decoder = Pattern(*CAMERA_SIZE), JpegEncoder(), JpegDecoder()
    pictures = [encoder.encode(pattern.render(n), CAMERA_SIZE, 90, 1 << 24) for n in range(60)]
    latencies: list[float] = []
    answers: dict[str, int] = {}
    wrong = 0
    last: bytes | None = None
    url = pool.api.replace("http", "ws", 1) + f"/stream/{name}/frames?fps=60"
    begun = time.monotonic()
    async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as ws:

        async def send() -> None:
            n, due = 0, time.monotonic()
            while time.monotonic() < begun + seconds + 1.0:
                header = Header(Kind.JPEG, 0, n, *CAMERA_SIZE, time=time.monotonic())
                await ws.send_bytes(header.pack() + pictures[n % len(pictures)])
                n, due = n + 1, due + 1 / CAMERA_FPS
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await ws.send_str('{"type": "end"}')

        sending = asyncio.create_task(send())
        async for message in ws:
            now = time.monotonic()
            if message.type is aiohttp.WSMsgType.TEXT:
                kind = json.loads(message.data)["type"]
                answers[kind] = answers.get(kind, 0) + 1
                continue
            header = unpack(message.data)
            if header.time > begun + 1.0:
                latencies.append((now - header.time) * 1e3)
                last = message.data
        await sending
    if last is not None:
        rgb, _ = decoder.decode(last[HEADER_BYTES:], None)
        wrong = int(counter.read(rgb) is None)
    times = sorted(latencies)
    return {
        "pictures": len(times),
        "p50_ms": feed.quantile(times, 0.5),
        "p95_ms": feed.quantile(times, 0.95),
        "p99_ms": feed.quantile(times, 0.99),
        "answers": answers,
        "unreadable": wrong,
    }


async def bench(size: tuple[int, int], seconds: float, rounds: int) -> dict[str, Any]:
    async with stack.running() as pool:
        print("a live stream, alone and watched by turns ...", file=sys.stderr)
        result: dict[str, Any] = {"watched": await watched(pool, size, seconds, rounds)}
        result["unwatched"] = unwatched()
        print("from a camera to a viewer ...", file=sys.stderr)
        result["camera_to_viewer"] = await camera(pool, seconds * 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=6, help="turns alone and with viewers")
    parser.add_argument("--size", default="512x512", metavar="WxH")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    width, _, height = args.size.partition("x")
    result = asyncio.run(bench((int(width), int(height)), args.seconds, args.rounds))
    for name, part in result.items():
        print(name)
        for key, value in part.items():
            print(f"  {key:20} {value}")
    if args.json:
        print(json.dumps(result))
