"""Concurrent starts against simulated GPUs. See scripts/bench_admission.py."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psutil
from aiohttp import web

from benchmarks.stack import environment, free_port
from control_plane.api.app import build_app
from control_plane.placement.devices import Gpu
from control_plane.placement.gpus import Reading
from control_plane.service import Service
from control_plane.settings import Settings

GPUS = 8
SLOTS_EACH = 2
STARTS = 100
PATIENCE_S = 60.0

WORKFLOW = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
}


class SimulatedGpus:
    """GPUs that are not there: their workers run on the CPU, all else is as with real ones."""

    memory = 80_000_000_000

    def find(self) -> list[Gpu]:
        return [
            Gpu(n, f"GPU-simulated-{n}", "simulated", self.memory, torch_device="cpu")
            for n in range(GPUS)
        ]

    def read(self, uuids: Sequence[str]) -> dict[str, Reading]:
        return {uuid: Reading(self.memory, self.memory, 0.0, {}) for uuid in uuids}


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Service, int]]:
    """A control plane in this process, with real workers, and its port."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(slots_per_gpu=SLOTS_EACH, log_dir=folder)
        service = Service(settings, SimulatedGpus())
        runner = web.AppRunner(build_app(service))
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            await service.boot()
            await until(lambda: service.not_ready() is None)
            yield service, port
        finally:
            await service.close(asyncio.Event())
            await runner.cleanup()


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come to that")
        await asyncio.sleep(0.01)


async def volley(port: int, bodies: Sequence[Any]) -> list[tuple[int, Any, float]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.volley", str(port),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    text = "\n".join(json.dumps(body) for body in bodies)
    out, _ = await process.communicate(text.encode())
    if process.returncode != 0:
        raise RuntimeError(f"the volley ended with {process.returncode}")
    answers: list[tuple[int, Any, float]] = json.loads(out)
    return answers


async def one_round(service: Service, port: int, number: int) -> dict[str, Any]:
    """All starts at once, then an end of all that came of it."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    bodies = [
        {
            "subscribe_url": f"{nowhere}/in",
            "publish_url": f"{nowhere}/out-{n}",
            "gateway_request_id": f"round-{number}-{n}",
            "params": {"prompt": WORKFLOW},
        }
        for n in range(STARTS)
    ]
    answers = await volley(port, bodies)
    accepted = [body["request_id"] for status, body, _ in answers if status == 200]
    refused = sorted(seconds * 1e3 for status, _, seconds in answers if status == 503)
    reasons = Counter(body.get("error") for status, body, _ in answers if status == 503)
    devices = Counter(body["device"] for status, body, _ in answers if status == 200)
    streams = service.streams.registry.active()
    await until(lambda: all(s.serving.is_set() or s.finished.is_set() for s in streams))
    ready = sum(s.serving.is_set() for s in streams)
    pids = [s.worker.pid for s in streams if s.worker is not None]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        stops = [session.post(f"/stream/{name}/stop?wait=30") for name in accepted]
        for reply in await asyncio.gather(*stops):
            reply.raise_for_status()
        async with session.get("/health") as reply:
            health = await reply.json()
    return {
        "accepted": len(accepted),
        "refused": len(refused),
        "other": sum(status not in (200, 503) for status, _, _ in answers),
        "refused_p50_ms": round(statistics.median(refused), 1) if refused else None,
        "refused_p99_ms": round(refused[min(len(refused) - 1, int(0.99 * len(refused)))], 1)
        if refused
        else None,
        "accepted_max_ms": round(max((s for c, _, s in answers if c == 200), default=0) * 1e3, 1),
        "reasons": dict(reasons),
        "most_on_one_device": max(devices.values(), default=0),
        "ready": ready,
        "slots_free_after": health["slots"]["free"],
        "slots_used_after": sum(device["used"] for device in health["devices"]),
        "left_behind": sum(psutil.pid_exists(pid) for pid in pids if pid is not None),
    }


async def bench(rounds: int) -> dict[str, Any]:
    async with serving() as (service, port):
        found = [await one_round(service, port, number) for number in range(rounds)]
    return {
        "machine": f"{os.cpu_count()} CPUs",
        "gpus": GPUS,
        "slots": GPUS * SLOTS_EACH,
        "starts": STARTS,
        "rounds": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description="100 starts at once against 8 simulated GPUs with 2 slots each."
    )
    parser.add_argument("--rounds", type=int, default=2, help="how often in a row (2)")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    with open(os.devnull, "w") as nowhere:  # its lines cost time, as they do in service
        logging.basicConfig(level=logging.INFO, stream=nowhere)
        result = asyncio.run(bench(args.rounds))
    for number, row in enumerate(result["rounds"], 1):
        print(f"round {number}")
        for name, value in row.items():
            print(f"  {name:20} {value}")
    if args.json:
        print(json.dumps(result))
