"""All measures, in one run. See scripts/bench.py."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from typing import Any

import aiohttp
import psutil

from benchmarks import clip, feed, stack

WARM_S = 3.0  # what comes first is the start of a stream, which has its own measure


def child(module: str, *arguments: object) -> Any:
    """Run a part in a process of its own; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        stdout=subprocess.PIPE, env=stack.environment(), check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def entry(floor: float | None, ours: float | None, unit: str, **more: Any) -> dict[str, Any]:
    """One measure. The ratio is of what was measured, or absent."""
    ratio = round(ours / floor, 3) if floor and ours is not None else None
    rounded = [None if v is None else round(v, 4) for v in (floor, ours)]
    return {"floor": rounded[0], "ours": rounded[1], "ratio": ratio, "unit": unit, **more}


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def one_size(pool: stack.Stack, width: int, height: int, seconds: float) -> dict[str, Any]:
    """A live stream of that size through the pool, and the same without it."""
    name = f"bench-{width}x{height}-{time.monotonic_ns()}"
    print(f"{width}x{height}: the paced floor ...", file=sys.stderr)
    floor_cpu, point_cpu = (
        child("floor", width, height, seconds, chroma)["cpu_ms_per_frame"]
        for chroma in ("AREA", "POINT")
    )
    units = clip.encode(width, height)
    engine = child("engine", width, height)
    print(f"{width}x{height}: a live stream ...", file=sys.stderr)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        source = feed.Times()
        sink = feed.Times(written=source.written)
        feeding = asyncio.create_task(
            feed.feed(session, pool.channels + f"{name}-in", units, source)
        )
        tasks = [feeding]
        try:
            bare = asyncio.create_task(feed.read(session, pool.channels + f"{name}-in", source))
            tasks.append(bare)
            await asyncio.sleep(min(seconds, 5.0))
            bare.cancel()
            reading = asyncio.create_task(feed.read(session, pool.channels + f"{name}-out", sink))
            tasks.append(reading)
            asked = time.monotonic()
            answer = await pool.start(name, source=f"{name}-in")
            await asyncio.sleep(WARM_S)
            worker = psutil.Process(answer["pid"])
            before = (cpu_seconds(worker), len(sink.read), time.monotonic())
            await asyncio.sleep(seconds)
            after = (cpu_seconds(worker), len(sink.read), time.monotonic())
            memory = worker.memory_full_info()
            status = await pool.call("GET", f"/stream/{name}/status")
            await pool.call("POST", f"/stream/{name}/stop?wait=30")
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    frames = after[1] - before[1]
    ours_cpu = (after[0] - before[0]) / max(frames, 1) * 1e3
    ours, bare_times = sink.latencies(WARM_S), source.latencies(1.0)
    control = psutil.Process(pool.pid)
    return {
        "cpu_ms_per_frame": entry(
            floor_cpu, ours_cpu, "ms",
            point_floor=point_cpu, point_ratio=round(ours_cpu / point_cpu, 3),
        ),
        "added_latency_p50": entry(
            feed.quantile(bare_times, 0.5), feed.quantile(ours, 0.5), "ms"
        ),
        "added_latency_p99": entry(
            feed.quantile(bare_times, 0.99), feed.quantile(ours, 0.99), "ms"
        ),
        "start_to_first_byte": entry(
            None, (sink.first_byte - asked) if sink.first_byte else None, "s"
        ),
        "worker_private_memory": entry(None, memory.uss / 1e6, "MB"),
        "worker_rss": entry(None, memory.rss / 1e6, "MB"),
        "control_plane_rss": entry(None, control.memory_info().rss / 1e6, "MB"),
        "engine_pass_through": entry(
            engine["pass_through"]["floor"], engine["pass_through"]["ours"], "ms",
            overhead=round(engine["pass_through"]["overhead"], 4),
        ),
        "engine_per_node": entry(
            engine["node"]["floor"], engine["node"]["ours"], "ms",
            overhead=round(engine["node"]["overhead"], 4),
        ),
        "fps": entry(clip.FPS, frames / (after[2] - before[2]), "1/s"),
        "dropped": status["frames"]["dropped"],
    }  # fmt: skip


async def bench(sizes: list[tuple[int, int]], seconds: float) -> dict[str, Any]:
    result: dict[str, Any] = {
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}, "
        f"Python {platform.python_version()}"
    }
    print("start of a worker ...", file=sys.stderr)
    start = child("processes")
    result["worker_start"] = entry(start["floor"], start["ready"], "s", hello=start["hello"])
    async with stack.running() as pool:
        result["control_plane_health"] = entry(None, pool.health_s, "s")
        for width, height in sizes:
            result[f"{width}x{height}"] = await one_size(pool, width, height, seconds)
    return result


def show(result: dict[str, Any]) -> None:
    def rows(part: dict[str, Any], indent: str) -> None:
        for name, value in part.items():
            if not isinstance(value, dict):
                print(f"{indent}{name}: {value}")
            elif "unit" in value:
                floor = "-" if value["floor"] is None else f"{value['floor']:g}"
                ours = "-" if value["ours"] is None else f"{value['ours']:g}"
                ratio = "" if value["ratio"] is None else f"  x{value['ratio']:g}"
                more = "".join(
                    f"  {k} {v:g}" for k, v in value.items()
                    if k not in ("floor", "ours", "ratio", "unit")
                )  # fmt: skip
                print(f"{indent}{name:24} floor {floor:>9}  ours {ours:>9} {value['unit']}"
                      f"{ratio}{more}")  # fmt: skip
            else:
                print(f"{indent}{name}")
                rows(value, indent + "  ")

    rows(result, "")


def size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the pool; the floor comes from the same run."
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="measured time per size")
    parser.add_argument("--size", type=size, action="append", metavar="WxH")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    result = asyncio.run(bench(args.size or [(512, 512), (1280, 720)], args.seconds))
    show(result)
    if args.json:
        print(json.dumps(result))
