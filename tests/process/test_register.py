"""``comfytrickle register`` as a process, with an orchestrator that is not always in the mood."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.orchestrator import (
    DEADLINE_S,
    SECRET,
    TOKEN,
    FakeOrchestrator,
    FakePool,
    serving,
    until,
)

URL = "http://pool.example:8889"
QUICK = ("--every", "0.2", "--request-timeout", "5")


@dataclass
class Command:
    """One run, its output as it comes."""

    process: asyncio.subprocess.Process
    output: str = ""
    reading: list[asyncio.Task[None]] = field(default_factory=list)

    async def ended(self) -> int:
        status = await asyncio.wait_for(self.process.wait(), DEADLINE_S)
        await asyncio.gather(*self.reading)
        return status

    async def said(self, text: str, times: int = 1) -> None:
        await until(
            lambda: self.output.count(text) >= times or self.process.returncode is not None,
            f"{text!r} in {self.output}",
        )
        assert self.output.count(text) >= times, self.output

    def command_line(self) -> bytes:
        return Path(f"/proc/{self.process.pid}/cmdline").read_bytes()

    async def read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.output += line.decode()


class Lab:
    """Starts the command; ends what is left, and looks for secrets in all that it said."""

    def __init__(self) -> None:
        self.orchestrator = FakeOrchestrator()
        self.pool = FakePool()
        self.stack = AsyncExitStack()
        self.commands: list[Command] = []
        self.orchestrator_url = ""
        self.pool_url = ""

    async def run(self, *flags: str, **env: str) -> Command:
        """With the secret and the token in the environment, unless ``env`` says otherwise."""
        surroundings = {k: v for k, v in os.environ.items() if not k.startswith("CAPABILITY_")}
        surroundings |= {"ORCH_SECRET": SECRET, "COMFYTRICKLE_AUTH_TOKEN": TOKEN, **env}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "comfytrickle.cli.main", "register"),
            *("--orchestrator", self.orchestrator_url, "--url", URL, "--pool", self.pool_url),
            *flags,
            env=surroundings,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        command = Command(process)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            command.reading.append(asyncio.ensure_future(command.read(stream)))
        self.commands.append(command)
        return command

    async def close(self) -> None:
        for command in self.commands:
            if command.process.returncode is None:
                command.process.kill()
            await command.ended()
        self.orchestrator.release.set()
        await self.stack.aclose()
        for command in self.commands:
            assert SECRET not in command.output and TOKEN not in command.output
            assert "Traceback" not in command.output


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = Lab()
    try:
        lab.orchestrator_url = await lab.stack.enter_async_context(serving(lab.orchestrator.app()))
        lab.pool_url = await lab.stack.enter_async_context(serving(lab.pool.app()))
        yield lab
    finally:
        await lab.close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# --- once ---------------------------------------------------------------------------------------


async def test_registers_the_pools_slots_and_ends(lab: Lab) -> None:
    command = await lab.run("--name", "comfy", "--price", "0.5", "--currency", "USD")
    assert await command.ended() == 0
    assert "registered comfy" in command.output and "capacity 4" in command.output
    ((method, path, auth, _),) = lab.orchestrator.calls
    assert (method, path, auth) == ("POST", "/capability/register", SECRET)
    assert lab.orchestrator.capabilities["comfy"] == {
        "name": "comfy",
        "description": "ComfyUI workflows on live video",
        "url": URL,
        "capacity": 4,
        "price_per_unit": 1,
        "price_scaling": 2,
        "currency": "usd",
        "token": TOKEN,
    }


async def test_the_variables_of_comfystream_and_a_secret_in_a_file(
    lab: Lab, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    command = await lab.run(
        *("--secret-file", str(file)),
        ORCH_SECRET="another",
        COMFYTRICKLE_AUTH_TOKEN="",
        CAPABILITY_NAME="comfystream",
        CAPABILITY_CAPACITY="3",
        CAPABILITY_PRICE_PER_UNIT="7",
        CAPABILITY_PRICE_SCALING="2",
        CAPABILITY_DESCRIPTION="theirs",
    )
    assert SECRET.encode() not in command.command_line()
    assert await command.ended() == 0
    (body,) = lab.orchestrator.registrations
    assert body == {
        "name": "comfystream",
        "description": "theirs",
        "url": URL,
        "capacity": 3,
        "price_per_unit": 7,
        "price_scaling": 2,
        "currency": "wei",
    }


async def test_waits_for_an_orchestrator_that_is_down(lab: Lab) -> None:
    port = free_port()
    lab.orchestrator_url = f"http://127.0.0.1:{port}"
    command = await lab.run("--name", "comfy")
    await command.said("cannot connect: Connection refused; again in", times=2)
    async with serving(lab.orchestrator.app(), port):
        assert await command.ended() == 0
    assert list(lab.orchestrator.capabilities) == ["comfy"]


async def test_waits_for_a_pool_that_still_loads(lab: Lab) -> None:
    lab.pool.status = "LOADING"
    command = await lab.run()
    await command.said("the pool takes no streams now; again in")
    assert lab.orchestrator.calls == []
    lab.pool.status = "IDLE"
    assert await command.ended() == 0
    assert len(lab.orchestrator.registrations) == 1


async def test_tries_again_after_5xx_a_cut_and_silence(lab: Lab) -> None:
    lab.orchestrator.trouble = [(502, "bad gateway"), "cut", "hang"]
    command = await lab.run("--capacity", "1", "--request-timeout", "1")
    assert await command.ended() == 0
    assert "answers 502 bad gateway; again in" in command.output
    assert "closed the connection without an answer" in command.output
    assert "no answer within 1 s" in command.output
    assert len(lab.orchestrator.registrations) == 4


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ((400, "invalid authorization\n"), "the secret is not that of its -orchSecret"),
        ((400, "Error registering capability: EOF"), "Error registering capability: EOF"),
        ((401, f"not {SECRET} nor {TOKEN}"), "401 not *** nor ***"),
        ((404, "404 page not found"), "one with BYOC?"),
    ],
    ids=["400-secret", "400-body", "401", "404"],
)
async def test_a_refusal_ends_it(lab: Lab, trouble: tuple[int, str], said: str) -> None:
    lab.orchestrator.trouble = [trouble]
    command = await lab.run(*("--keep", *QUICK))
    assert await command.ended() == 1
    assert "refused: " in command.output and said in command.output
    assert len(lab.orchestrator.registrations) == 1
    assert lab.orchestrator.capabilities == {}


async def test_gives_up_after_the_time_and_says_why(lab: Lab) -> None:
    lab.orchestrator_url = f"http://127.0.0.1:{free_port()}"
    command = await lab.run("--timeout", "1")
    assert await command.ended() == 3
    assert "given up after 1 s: " in command.output.splitlines()[-1]
    assert "Connection refused" in command.output.splitlines()[-1]


async def test_interrupted_while_it_hangs_it_takes_back_what_may_be_there(lab: Lab) -> None:
    lab.orchestrator.trouble = ["hang"]
    command = await lab.run("--name", "comfy")
    await asyncio.wait_for(lab.orchestrator.hanging.wait(), DEADLINE_S)
    command.process.send_signal(signal.SIGINT)
    assert await command.ended() == 1
    assert lab.orchestrator.calls[-1][1:] == ("/capability/unregister", SECRET, b"comfy")


# --- kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_kept_until_a_signal_takes_it_back(lab: Lab, number: signal.Signals) -> None:
    command = await lab.run("--keep", "--name", "comfy", *QUICK)
    await until(lambda: len(lab.orchestrator.calls) >= 4, "looks at the orchestrator")
    assert len(lab.orchestrator.registrations) == 1  # it is left alone while all is well
    command.process.send_signal(number)
    assert await command.ended() == 0
    assert lab.orchestrator.capabilities == {}
    assert lab.orchestrator.calls[-1] == ("POST", "/capability/unregister", SECRET, b"comfy")


@pytest.mark.parametrize("away_s", [0.0, 1.0])
async def test_a_restarted_orchestrator_is_told_the_free_slots(lab: Lab, away_s: float) -> None:
    port = free_port()
    lab.orchestrator_url = f"http://127.0.0.1:{port}"
    async with serving(lab.orchestrator.app(), port):
        command = await lab.run("--keep", "--name", "comfy", *QUICK)
        await until(lambda: lab.orchestrator.capabilities, "the first registration")
    lab.orchestrator.capabilities.clear()
    lab.pool.free = 3
    await asyncio.sleep(away_s)  # how long it is away: between two looks, and over some
    async with serving(lab.orchestrator.app(), port):
        await until(lambda: lab.orchestrator.capabilities, "the second registration")
        assert lab.orchestrator.capabilities["comfy"]["capacity"] == 3
        command.process.terminate()
        assert await command.ended() == 0
        assert lab.orchestrator.capabilities == {}


async def test_refreshed_now_and_then(lab: Lab) -> None:
    command = await lab.run("--keep", "--refresh", "0.3", *QUICK)
    await until(lambda: len(lab.orchestrator.registrations) >= 3, "refreshes")
    command.process.terminate()
    assert await command.ended() == 0


async def test_a_pool_that_drains_ends_and_comes_back(lab: Lab) -> None:
    lab.pool.free = 3
    command = await lab.run("--keep", "--name", "comfy", *QUICK)
    known = lab.orchestrator.capabilities
    await until(lambda: known, "the first registration")
    assert known["comfy"]["capacity"] == 3

    lab.pool.draining = True
    await until(lambda: known["comfy"]["capacity"] == 0, "capacity 0 while a stream runs")
    lab.pool.free = 4
    await until(lambda: not known, "unregistered")
    lab.pool.draining = False
    await until(lambda: known, "registered again")
    assert known["comfy"]["capacity"] == 4
    command.process.terminate()
    assert await command.ended() == 0


async def test_a_pool_that_is_gone_is_unregistered(lab: Lab) -> None:
    port = free_port()
    lab.pool_url = f"http://127.0.0.1:{port}"
    async with serving(lab.pool.app(), port):
        command = await lab.run("--keep", *QUICK)
        await until(lambda: lab.orchestrator.capabilities, "the first registration")
    await until(lambda: not lab.orchestrator.capabilities, "unregistered")
    await command.said("Connection refused")
    async with serving(lab.pool.app(), port):
        await until(lambda: lab.orchestrator.capabilities, "registered again")
        command.process.terminate()
        assert await command.ended() == 0


async def test_a_refusal_of_one_that_was_registered_is_no_end(lab: Lab) -> None:
    command = await lab.run("--keep", "--refresh", "0.3", *QUICK)
    await until(lambda: lab.orchestrator.capabilities, "the first registration")
    lab.orchestrator.capabilities.clear()
    lab.orchestrator.secret = "changed"
    await command.said("invalid authorization")
    lab.orchestrator.secret = SECRET
    await until(lambda: lab.orchestrator.capabilities, "registered again")
    command.process.terminate()
    assert await command.ended() == 0


async def test_it_says_so_when_it_cannot_take_it_back(lab: Lab) -> None:
    command = await lab.run("--keep", *QUICK)
    await until(lambda: lab.orchestrator.capabilities, "the first registration")
    lab.orchestrator.secret = "changed"
    command.process.terminate()
    assert await command.ended() == 1
    assert "it may still be registered: " in command.output


# --- taken back, and certificates ---------------------------------------------------------------


async def test_unregister(lab: Lab) -> None:
    lab.orchestrator.capabilities["comfy"] = {}
    lab.orchestrator.trouble = [(503, "")]
    command = await lab.run("--unregister", "--name", "comfy")
    assert await command.ended() == 0
    assert "unregistered comfy" in command.output
    assert lab.orchestrator.capabilities == {}
    assert {path for _, path, _, _ in lab.orchestrator.calls} == {"/capability/unregister"}


async def test_a_certificate_that_does_not_verify_is_a_refusal_unless_told(
    lab: Lab, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    openssl = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    making = await asyncio.create_subprocess_exec(
        *openssl.split(),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await making.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with serving(lab.orchestrator.app(), tls=context) as lab.orchestrator_url:
        command = await lab.run()
        assert await command.ended() == 1
        assert "its certificate does not verify" in command.output
        assert lab.orchestrator.calls == []

        trusting = await lab.run(SSL_CERT_FILE=str(certificate))
        assert await trusting.ended() == 0
        assert "warning" not in trusting.output

        insecure = await lab.run("--insecure")
        assert await insecure.ended() == 0
        assert "warning: --insecure: the certificate of the orchestrator is not" in insecure.output
        assert len(lab.orchestrator.registrations) == 2
