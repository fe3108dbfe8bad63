"""Every fault of a worker, one after the other, beside one healthy stream. See
scripts/bench_faults.py; what is done and measured: tests/support/faults.py.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import stack
from comfytrickle.trickle.client_session import open_session
from tests.support import cycles, family, faults
from tests.support.lane import Lane
from tests.support.live import Api
from tests.support.pool import Pool, running_pool
from tests.support.streams import ServerProcess

COLUMNS = (
    "fault",
    "detected_s",
    "output_again_s",
    "lost",
    "neighbour_lost",
    "left_behind",
    "restarts",
    "ended",
)
_EVERY = 10  # of the cycles, one crashes


@dataclass
class House:
    """What all rows share."""

    pool: Pool
    api: Api
    session: aiohttp.ClientSession
    channels: str
    folder: Path
    mark: str

    def holding(self) -> family.Holding:
        return family.Holding.take(self.mark, self.pool.process.pid)


@contextlib.contextmanager
def _pool(*flags: str) -> Iterator[tuple[Pool, Path, str]]:
    os.environ["PYTHONPATH"] = stack.environment()["PYTHONPATH"]
    folder = Path(tempfile.mkdtemp(prefix="bench-faults-"))
    done = False
    try:
        with family.marked() as mark, running_pool(folder, *faults.FLAGS, *flags) as pool:
            yield pool, folder, mark
        done = True
    finally:
        if done:
            shutil.rmtree(folder)
        else:
            print(f"logs: {folder}", file=sys.stderr)


@contextlib.asynccontextmanager
async def _house(pool: Pool, folder: Path, mark: str) -> AsyncIterator[House]:
    async with ServerProcess() as server, open_session() as session:
        house = House(pool, Api(pool), session, server.url, folder, mark)
        await house.api.fill_threads()
        yield house


async def bench(pool: Pool, folder: Path, mark: str, names: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    spans: list[tuple[int, int]] = []
    async with (
        _house(pool, folder, mark) as house,
        Lane.open(house.session, house.channels, "neighbour") as neighbour,
    ):
        await house.api.start("neighbour", neighbour.source_url, neighbour.sink_url)
        await neighbour.came(30)
        before = house.holding()
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            first = len(neighbour.written)
            rows.append(await _row(house, faults.FAULTS[name], before))
            spans.append((first, len(neighbour.written)))
            if rows[-1]["left_behind"]:
                before = house.holding()  # the next row has its own
        await neighbour.end()
        await neighbour.over()
        report = await neighbour.report()
    for row, (first, last) in zip(rows, spans, strict=True):
        row["neighbour_lost"] = sum(first <= n < last for n in report.missing)
    if rows and report.disorder:
        rows[-1]["neighbour_lost"] += len(report.disorder)
    return rows


async def _row(house: House, fault: faults.Fault, before: family.Holding) -> dict[str, Any]:
    victim = faults.Victim(house.api, house.session, house.channels, house.folder, fault)
    outcome = await victim.suffer()
    left = await family.left_behind(before, house.mark, house.pool.process.pid)
    assert outcome.report is not None
    seconds = {
        key: None if value is None else round(value, 3)
        for key, value in (
            ("detected_s", outcome.detected_s),
            ("output_again_s", outcome.output_again_s),
        )
    }
    return {
        "fault": fault.name,
        **seconds,
        "lost": None if outcome.over else len(outcome.report.missing),
        "doubled_or_out_of_order": len(outcome.report.disorder),
        "neighbour_lost": 0,
        "left_behind": left,
        "restarts": outcome.status["restarts"],
        "ended": outcome.ended,
    }


def show(rows: list[dict[str, Any]]) -> None:
    table = [COLUMNS, *(tuple(_cell(row[key]) for key in COLUMNS) for row in rows)]
    widths = [max(len(line[n]) for line in table) for n in range(len(COLUMNS))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return ("; ".join(map(str, value)) or "nothing") if isinstance(value, list) else str(value)


async def bench_cycles(pool: Pool, folder: Path, mark: str, count: int) -> dict[str, Any]:
    async with (
        _house(pool, folder, mark) as house,
        Lane.open(house.session, house.channels, "source", cycles.SPEC) as lane,
    ):
        run = cycles.Cycles(house.api, lane, house.folder)
        await run.do(3 * _EVERY, _EVERY)  # finished streams and threads are kept, up to a number
        warm_up = run.crashed
        before, rss = house.holding(), [run.rss()]
        for quarter in range(4):
            await run.do(count * (quarter + 1) // 4 - count * quarter // 4, _EVERY)
            rss.append(run.rss())
        left = await family.left_behind(before, mark, pool.process.pid)
        return {
            "cycles": count,
            "crashed": run.crashed - warm_up,
            "left_behind": left,
            "rss_mb": [round(value / 1e6, 1) for value in rss],  # before, and after each quarter
        }


def main() -> int:
    parser = argparse.ArgumentParser(description="What each fault of a worker costs whom.")
    parser.add_argument("--json", action="store_true", help="a JSON list of rows as the last line")
    parser.add_argument("--fault", nargs="+", choices=faults.FAULTS, metavar="NAME",
                        help=f"of: {', '.join(faults.FAULTS)}")  # fmt: skip
    parser.add_argument("--cycles", type=int, metavar="N", help="starts and stops instead")
    args = parser.parse_args()
    if args.cycles:
        with _pool("--devices", "cpu:4", "--keep-finished", "20") as (pool, folder, mark):
            result = asyncio.run(bench_cycles(pool, folder, mark, args.cycles))
        for key, value in result.items():
            print(f"{key}: {_cell(value)}")
        if args.json:
            print(json.dumps(result))
        return 1 if result["left_behind"] else 0
    with _pool("--devices", "cpu:2") as (pool, folder, mark):
        rows = asyncio.run(bench(pool, folder, mark, args.fault or list(faults.FAULTS)))
    show(rows)
    if args.json:
        print(json.dumps(rows))
    return 1 if any(row["neighbour_lost"] or row["left_behind"] for row in rows) else 0
