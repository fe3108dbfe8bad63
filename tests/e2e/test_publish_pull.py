"""`comfytrickle publish` and `pull` as processes, with a trickle server between them."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from comfytrickle.trickle.server import TrickleServer
from tests.support import clips

DEADLINE_S = 60.0  # a busy machine starts a process slowly


@pytest.fixture
async def server() -> AsyncIterator[TrickleServer]:
    server = TrickleServer()
    await server.start()
    yield server
    await server.close()


class Command:
    """One ``comfytrickle`` process; ended when the block is left."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.process: asyncio.subprocess.Process

    async def __aenter__(self) -> Command:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comfytrickle.cli.main", *self._arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()

    async def end(self) -> tuple[int, bytes, str]:
        """Exit status, stdout, stderr, once it has ended by itself."""
        out, err = await asyncio.wait_for(self.process.communicate(), DEADLINE_S)
        assert self.process.returncode is not None
        return self.process.returncode, out, err.decode()

    async def line(self, part: str) -> str:
        """The next line of stderr with ``part`` in it."""
        assert self.process.stderr is not None
        while True:
            line = await asyncio.wait_for(self.process.stderr.readline(), DEADLINE_S)
            assert line, f"it ended before it said {part!r}"
            if part in line.decode():
                return line.decode()


async def reader_waits(server: TrickleServer) -> None:
    """Until a request waits for a first byte: the puller is there."""
    for _ in range(int(DEADLINE_S / 0.02)):
        if server.waiting:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no reader came")


async def create(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(url) as reply:
        assert reply.status == 200


async def both(server: TrickleServer, out: Path, *publish: str) -> tuple[Any, Any]:
    """Pull the channel into ``out`` while ``publish`` runs; what both say."""
    url = f"{server.url}clip"
    await create(url)
    async with Command("pull", url, str(out), "--json") as pull:
        await reader_waits(server)
        async with Command("publish", publish[0], url, *publish[1:], "--json") as sending:
            status, said, err = await sending.end()
            assert status == 0, err
        pulled, got, err = await pull.end()
        assert pulled == 0, err
    return json.loads(said), json.loads(got)


async def test_the_pattern_arrives_frame_by_frame(server: TrickleServer, tmp_path: Path) -> None:
    out = tmp_path / "out.ts"
    arguments = ("--frames", "24", "--size", "192x128", "--gop", "0.25", "--fps", "24")
    sent, got = await both(server, out, "testsrc", *arguments)
    assert [n for _, n in clips.read_counters(out.read_bytes())] == list(range(24))
    assert (sent["frames"], sent["segments"], sent["interrupted"]) == (24, 4, False)
    assert sent["seconds"] >= 23 / 24  # it is live: not faster than its clock
    assert (got["bytes"], got["segments"], got["ended"]) == (sent["bytes"], 4, "closed")
    assert out.stat().st_size == sent["bytes"]


@pytest.mark.parametrize("name", ["bframes", "with_audio"])
async def test_a_file_arrives_whole_and_without_realtime_at_once(
    server: TrickleServer, tmp_path: Path, name: str
) -> None:
    clip = getattr(clips, name)()
    source, out = tmp_path / "in.ts", tmp_path / "out.ts"
    source.write_bytes(clip.data)
    sent, got = await both(server, out, str(source), "--gop", "0.3")
    assert [n for _, n in clips.read_counters(out.read_bytes())] == clip.counters
    assert sent["frames"] == 30
    assert got["segments"] == 3


async def test_realtime_paces_a_file_and_seconds_ends_it(
    server: TrickleServer, tmp_path: Path
) -> None:
    source, out = tmp_path / "in.ts", tmp_path / "out.ts"
    source.write_bytes(clips.plain(20).data)
    sent, _ = await both(server, out, str(source), "--realtime", "--loop", "--seconds", "1")
    counters = [n for _, n in clips.read_counters(out.read_bytes())]
    assert counters == [i % 20 for i in range(30)]
    assert sent["seconds"] >= 0.9


async def test_sigint_ends_a_publisher_in_order(server: TrickleServer, tmp_path: Path) -> None:
    url, out = f"{server.url}clip", tmp_path / "out.ts"
    await create(url)
    async with (
        Command("pull", url, str(out), "--json") as pull,
        Command("publish", "testsrc", url, "--size", "192x128", "--json") as publish,
    ):
        await publish.line("frames")
        publish.process.send_signal(signal.SIGINT)
        status, said, err = await publish.end()
        assert status == 0, err
        assert (await pull.end())[0] == 0
    sent = json.loads(said)
    assert sent["interrupted"] is True
    counters = [n for _, n in clips.read_counters(out.read_bytes())]
    assert counters == list(range(sent["frames"]))


@pytest.mark.parametrize(("flag", "exists"), [("--no-delete", True), (None, False)])
async def test_the_channel_at_the_end(
    server: TrickleServer, tmp_path: Path, flag: str | None, exists: bool
) -> None:
    source = tmp_path / "in.ts"
    clip = clips.plain(10)
    source.write_bytes(clip.data)
    url = f"{server.url}clip"
    async with Command("publish", str(source), url, *([flag] if flag else [])) as publish:
        assert (await publish.end())[0] == 0
    async with aiohttp.ClientSession() as session, session.get(f"{url}/0") as reply:
        assert reply.status == (200 if exists else 404)
        if exists:
            data = await reply.read()
            assert [n for _, n in clips.read_counters(data)] == clip.counters


async def test_pull_to_a_pipe_until_the_reader_goes(server: TrickleServer) -> None:
    url = f"{server.url}clip"
    async with (
        Command("pull", url, "-") as pull,
        Command("publish", "testsrc", url, "--size", "192x128"),
    ):
        assert pull.process.stdout is not None
        head = await asyncio.wait_for(pull.process.stdout.readexactly(188), DEADLINE_S)
        assert head[0] == 0x47
        transport = pull.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()
        assert await asyncio.wait_for(pull.process.wait(), DEADLINE_S) == 0


async def test_pull_ends_after_seconds_and_says_when_nothing_came(
    server: TrickleServer, tmp_path: Path
) -> None:
    await create(f"{server.url}silent")
    arguments = (f"{server.url}silent", str(tmp_path / "out.ts"), "--seconds", "0.3", "--json")
    async with Command("pull", *arguments) as pull:
        status, said, _ = await pull.end()
    assert status == 1
    assert (json.loads(said)["ended"], json.loads(said)["bytes"]) == ("time", 0)


async def test_pull_ends_on_sigint(server: TrickleServer, tmp_path: Path) -> None:
    url = f"{server.url}clip"
    await create(url)
    async with Command("pull", url, str(tmp_path / "out.ts"), "--json") as pull:
        await reader_waits(server)
        pull.process.send_signal(signal.SIGINT)
        status, said, err = await pull.end()
    assert (status, json.loads(said)["ended"]) == (1, "signal"), err


async def test_a_file_that_is_not_there(server: TrickleServer, tmp_path: Path) -> None:
    async with Command("publish", str(tmp_path / "no.mp4"), f"{server.url}clip") as publish:
        status, _, err = await publish.end()
    assert status == 1
    assert "no.mp4" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [("--size", "10"), ("--fps", "0"), ("--seconds", "-1"), ("--frames", "x"), ("--gop", "nan")],
)
async def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    async with Command("publish", "testsrc", "http://127.0.0.1:1/x", *arguments) as publish:
        status, _, err = await publish.end()
    assert status == 2
    assert arguments[0] in err
