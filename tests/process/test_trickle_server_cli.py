"""``trickle-server`` as a process: prints where it listens, ends cleanly on a signal."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfytrickle.cli import trickle_server
from tests.support.raw_http import PATIENCE_S, RawHttp

SRC = Path(trickle_server.__file__).parents[2]
START_S = 30.0
MAIN = """
import argparse, sys
from comfytrickle.cli.trickle_server import add_parser
parser = argparse.ArgumentParser()
add_parser(parser.add_subparsers(required=True))
args = parser.parse_args()
sys.exit(args.func(args))
"""


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    trickle_server.add_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["trickle-server", *argv])


@pytest.fixture
async def processes() -> AsyncIterator[list[asyncio.subprocess.Process]]:
    started: list[asyncio.subprocess.Process] = []
    yield started
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def launch(*argv: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        MAIN,
        "trickle-server",
        *argv,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serves_until_a_signal(
    processes: list[asyncio.subprocess.Process], number: signal.Signals
) -> None:
    process = await launch("--port", "0", "--path", "/live", "--changefeed")
    processes.append(process)
    assert process.stdout is not None and process.stderr is not None
    url = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode()
    assert url.startswith("http://127.0.0.1:") and url.endswith("/live/\n")

    connection = await RawHttp.connect(url.strip())
    await connection.request("GET /live/_changes/0")
    assert await connection.body(await connection.head()) == b'{"added":["_changes"]}'
    await connection.request("GET /live/_changes/1")  # somebody waits while it ends
    assert await connection.is_silent()
    process.send_signal(number)
    head = await connection.head()
    assert head.headers["lp-trickle-closed"] == "terminated"
    await connection.close()
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert await process.stdout.read() == b""
    assert await process.stderr.read() == b""


async def test_a_port_in_use_is_said_in_one_line(
    processes: list[asyncio.subprocess.Process],
) -> None:
    first = await launch("--port", "0")
    processes.append(first)
    assert first.stdout is not None
    url = (await asyncio.wait_for(first.stdout.readline(), START_S)).decode().strip()
    port = url.rsplit(":", 1)[1].strip("/")
    second = await launch("--port", port)
    processes.append(second)
    out, err = await asyncio.wait_for(second.communicate(), START_S)
    assert (second.returncode, out) == (1, b"")
    assert err.decode().startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert err.count(b"\n") == 1


def test_defaults() -> None:
    args = parse()
    assert (args.host, args.port, args.path) == ("127.0.0.1", 2939, "/")
    assert (args.autocreate, args.changefeed) == (True, False)
    assert (args.idle_timeout, args.sweep_interval, args.abort_grace) == (300.0, 60.0, 5.0)


def test_options() -> None:
    args = parse(
        "--no-autocreate", "--idle-timeout", "1h30m", "--sweep-interval=250ms", "--max-channels=3"
    )
    assert (args.autocreate, args.idle_timeout, args.sweep_interval) == (False, 5400.0, 0.25)
    assert args.max_channels == 3


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--idle-timeout", "soon"], "'soon' is not a duration"),
        (["--max-channels", "0"], "must be at least 1"),
        (["--port", "x"], "invalid int value"),
        (["--sweep-interval", "0"], "must be longer than 0"),
    ],
)
def test_wrong_options(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(*argv)
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
