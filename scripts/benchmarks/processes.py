"""How long a fresh worker takes, against the same fork server's empty process. Run by itself:

    python -m benchmarks.processes

prints one JSON object. No stream is involved: a worker is ready when it says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from comfytrickle import messages as m
from control_plane.processes.launcher import Launcher
from control_plane.processes.worker import Worker

ROUNDS = 15


async def measure() -> dict[str, float]:
    """Seconds, medians. ``floor``: fork, run nothing, exit, be noticed."""
    launcher = Launcher()
    await launcher.boot()
    hello, ready, floor = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for n in range(ROUNDS):
            begun = time.perf_counter()
            process = launcher._context.Process(target=os.getpid)
            process.start()
            process.join()
            floor.append(time.perf_counter() - begun)
            process.close()

            launch = m.Launch(name=f"bench-{n}", log_path=str(Path(folder) / f"{n}.log"))
            worker = Worker(launcher, launch, m.ConfigureInspector(engine=m.EngineConfig()))
            begun = time.perf_counter()
            await worker.start()
            hello.append(time.perf_counter() - begun)
            await worker.wait_ready()
            ready.append(time.perf_counter() - begun)
            await worker.stop()
    await launcher.close()
    median = statistics.median
    return {"floor": median(floor), "hello": median(hello), "ready": median(ready)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))
