"""Usage lines show the name that was typed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from comfytrickle.cli import main as cli
from comfytrickle.cli import serve
from comfytrickle.typed import VARIABLE, typed_name
from control_plane import settings

ROOT = Path(__file__).parents[2]


def usage(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        settings.load(["--help"], environ)
    return capsys.readouterr().out.split("[")[0]


def test_of_the_control_plane(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage({}, capsys).startswith("usage: python -m control_plane")
    assert usage({VARIABLE: "./launch_pool.sh"}, capsys).startswith("usage: ./launch_pool.sh")


def test_serve_tells_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    became: dict[str, str] = {}
    monkeypatch.setattr(os, "execve", lambda _path, _args, environ: became.update(environ))
    serve.run(["--help"])
    assert typed_name(became) == "comfytrickle serve" and became["PATH"] == os.environ["PATH"]


def test_of_the_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, "./launch_pool.sh --demo")
    with pytest.raises(SystemExit):
        cli.main(["demo", "--help"])
    assert capsys.readouterr().out.startswith("usage: ./launch_pool.sh --demo [-h]")


@pytest.mark.parametrize("flags", [[], ["--demo"]])
def test_of_the_script(flags: list[str]) -> None:
    done = subprocess.run(
        ["scripts/launch_pool.sh", *flags, "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    typed = " ".join(["usage: scripts/launch_pool.sh", *flags])
    assert any(line.startswith(f"{typed} [-h]") for line in done.stdout.splitlines()), done.stdout
