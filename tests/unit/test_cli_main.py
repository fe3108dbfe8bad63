from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from comfytrickle.cli import main as cli
from comfytrickle.cli import tables
from comfytrickle.cli.common import UsageError, set_param
from comfytrickle.cli.params import set_input


def test_help_names_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)


def test_a_client_command_loads_nothing_heavy() -> None:
    code = (
        "import sys; from comfytrickle.cli.main import main;"
        "assert main(['status', 'x', '--url', 'http://127.0.0.1:1']) == 3;"
        "print([m for m in ('torch', 'av', 'numpy', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
    assert "cannot reach http://127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["stop", "--nonsense"],
        ["start", "--subscribe"],
        ["validate", "/does/not/exist.json"],
        ["params", "x", "--url", "http://127.0.0.1:1"],
        ["params", "x", "--param", "novalue"],
    ],
)
def test_wrong_usage_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = cli.main(argv)
    except SystemExit as error:
        status = error.code  # type: ignore[assignment]
    assert status == 2
    assert capsys.readouterr().err


def test_params_from_flags() -> None:
    params: dict[str, Any] = {}
    for item in ("seed=3", "name=a=b", "on=true", "encode.crf=20", "encode.preset=fast", 'q="1"'):
        set_param(params, item)
    assert params == {
        "seed": 3,
        "name": "a=b",
        "on": True,
        "encode": {"crf": 20, "preset": "fast"},
        "q": "1",
    }
    for bad in ("x", "=1", "a..b=1", "seed.x=1"):
        with pytest.raises(UsageError):
            set_param(params, bad)
    for bad in ("encode=opus", "encode=20"):
        with pytest.raises(UsageError, match=r"such as --param encode\.audio=opus"):
            set_param(params, bad)
    for good in ("encode=", "encode=null", 'encode={"crf": 21}'):
        set_param(params, good)
    assert params["encode"] == {"crf": 21}


def test_one_input_of_a_workflow_from_a_flag() -> None:
    workflow: dict[str, Any] = {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "4:2": {"class_type": "Blur", "inputs": {"image": ["1", 0], "radius": 3, "how": "x"}},
    }
    set_input(workflow, "4:2.radius=5")
    set_input(workflow, "4:2.how=a=b")
    assert workflow["4:2"]["inputs"] == {"image": ["1", 0], "radius": 5, "how": "a=b"}
    for bad, words in {
        "x": "NODE.INPUT=VALUE is expected",
        "4:2=3": "NODE.INPUT=VALUE is expected",
        "7.radius=3": "its nodes are 1, 4:2",
        "4:2.radios=3": r"inputs of node 4:2 \(Blur\) are image, radius, how",
        "1.a=3": "are none",
    }.items():
        with pytest.raises(UsageError, match=words):
            set_input(workflow, bad)


def test_tables_show_the_unknown_as_a_dash() -> None:
    shown = tables.stream_list(
        {
            "a": {
                "request_id": "a",
                "state": "streaming",
                "health": "ok",
                "device": "cpu:0",
                "uptime_s": 3725,
                "width": 512,
                "height": 384,
                "fps": {"in": 30.0, "out": 29.97},
                "latency_ms": {"total": {"p50": 8.04, "p95": 9, "p99": 10}},
            },
            "longer-id": {"request_id": "longer-id", "state": "starting"},
        }
    )
    lines = shown.splitlines()
    assert lines[1].split() == [
        "a",
        "streaming",
        "ok",
        "cpu:0",
        "1h02m",
        "512x384",
        "30.0",
        "30.0",
        "8.0",
    ]
    assert lines[2].split() == ["longer-id", "starting", "-", "-", "-", "-", "-", "-", "-"]
    assert lines[0].index("STATE") == lines[1].index("streaming") == lines[2].index("starting")
