"""What docs/client.md shows, and the examples that use the client, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from comfytrickle.calls import DEFAULT_URL
from comfytrickle.testsrc import counter
from comfytrickle.testsrc.pattern import Pattern
from tests.support.pool import ROOT, Pool, free_port, running_pool

INVERT = ROOT / "examples" / "workflows" / "invert.json"
SNIPPETS = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "client.md").read_text(), re.M | re.S
)


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with running_pool(tmp_path_factory.mktemp("pool"), "--devices", "cpu:2") as pool:
        yield pool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the examples in it, as in a checkout."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def run(folder: Path, *args: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", *args],
        cwd=folder, env=os.environ, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "ResourceWarning" not in done.stderr and "never retrieved" not in done.stderr
    return done


def snippet(pool: Pool, folder: Path, number: int) -> list[str]:
    assert DEFAULT_URL in SNIPPETS[number]
    code = SNIPPETS[number].replace(DEFAULT_URL, pool.url)
    return run(folder, "-c", code).stdout.splitlines()


def test_the_snippet_that_starts(shared_pool: Pool, folder: Path) -> None:
    lines = snippet(shared_pool, folder, 0)
    assert re.fullmatch(r"stream-\w{12} ready cpu:\d", lines[0])
    assert lines[1] == "1" and any("ready after" in line for line in lines)
    assert lines[-1] == "requested"


def test_the_snippet_that_sends(shared_pool: Pool, folder: Path) -> None:
    *sent, picture = snippet(shared_pool, folder, 1)
    assert [line.split()[0] for line in sent] == [str(n) for n in range(30)]
    assert any(line.split()[1] == "True" for line in sent)
    _, pts, mean = picture.split()
    assert abs(float(mean) - (255 - 8 * int(pts) / 3000)) < 2


def test_the_snippet_that_fails(shared_pool: Pool, folder: Path) -> None:
    assert len(SNIPPETS) == 3
    lines = snippet(shared_pool, folder, 2)
    assert lines[0].startswith("400 params.prompt")
    assert any("NoSuchNode" in line for line in lines[1:])


def test_the_shortest_program(shared_pool: Pool, folder: Path) -> None:
    done = run(folder, "examples/client_start.py", shared_pool.url)
    assert "'in': 30" in done.stdout.splitlines()[-1]
    with Image.open(folder / "edges.jpg") as image:
        both = np.asarray(image.convert("RGB"))
    assert both.shape == (512, 1024, 3)
    n = counter.read(both[:, :512])
    assert n is not None
    assert np.abs(both[:, :512] - Pattern(512, 512).render(n).astype(int)).mean() < 6
    assert both[:, 512:].mean() < 0.5 * both[:, :512].mean()  # edges on black


def test_the_shortest_program_says_how_it_is_called(folder: Path) -> None:
    shown = run(folder, "examples/client_start.py", "--help").stdout
    assert shown.startswith("usage: client_start.py [-h] [url]") and DEFAULT_URL in shown


def film(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [
            (float(frame.time or 0), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


def webcam(pool: Pool, folder: Path, *args: str) -> str:
    size = ("--width", "128", "--height", "128")
    return run(folder, "examples/webcam.py", "--server", pool.url, *size, *args).stdout


def test_a_test_pattern_and_then_its_film_through_the_webcam(
    shared_pool: Pool, folder: Path
) -> None:
    workflow = ("--workflow", "examples/workflows/invert.json")
    shown = webcam(shared_pool, folder, *workflow, "--save", "out.mp4", "--seconds", "2")
    sent, back = re.findall(r"sent (\d+) .*, came back (\d+), round trip p50", shown)[-1]
    assert sent == "60" and 0 < int(back) <= 60
    assert shown.splitlines()[-1] == "saved out.mp4"
    frames = film(folder / "out.mp4")
    assert len(frames) == int(back)
    began = counter.read(frames[0][1])
    assert began is not None
    for at, rgb in frames:
        n = counter.read(rgb)
        assert n is not None and counter.is_inverted(rgb)
        assert at == pytest.approx((n - began) / 30, abs=0.002)
    # The film as the source, inverted again.
    shown = webcam(shared_pool, folder, *workflow, "--source", "out.mp4", "--save", "back.mp4")
    assert f"sent {len(frames)} " in shown
    again = film(folder / "back.mp4")
    assert again
    for _, rgb in again:
        n = counter.read(rgb)
        assert n is not None and not counter.is_inverted(rgb)
        assert np.abs(rgb - Pattern(128, 128).render(n).astype(int)).mean() < 12


SLOW_TO_CONNECT = """
import asyncio, runpy, sys
from comfytrickle.client.connection import Connection
at_once = Connection.socket
async def socket(self, call):
    if "side=none" not in call.path:
        await asyncio.sleep(1)  # who looks on is late, as a busy machine makes it now and then
    return await at_once(self, call)
Connection.socket = socket
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_webcam_looks_before_it_sends(shared_pool: Pool, folder: Path) -> None:
    args = ("--server", shared_pool.url, "--width", "128", "--height", "128", "--seconds", "0.5")
    run(folder, "-c", SLOW_TO_CONNECT, "examples/webcam.py", *args, "--save", "first.mp4")
    assert counter.read(film(folder / "first.mp4")[0][1]) == 0


def test_the_webcam_says_what_is_wrong(shared_pool: Pool, folder: Path) -> None:
    args = ("examples/webcam.py", "--server")
    away = run(folder, *args, f"http://127.0.0.1:{free_port()}", status=1)
    assert "Connection refused" in away.stderr and "Traceback" not in away.stderr
    broken = folder / "broken.json"
    broken.write_text(INVERT.read_text().replace("ImageInvert", "NoSuchNode"))
    refused = run(folder, *args, shared_pool.url, "--workflow", str(broken), status=1)
    assert "refused: " in refused.stderr and "NoSuchNode" in refused.stderr
    none = run(folder, *args, shared_pool.url, "--source", "/dev/no-such-camera", status=1)
    assert "/dev/no-such-camera" in none.stderr and "Traceback" not in none.stderr
