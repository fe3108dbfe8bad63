"""Text made of a stream's status."""

from __future__ import annotations

from typing import Any

import pytest

from comfytrickle.cli.tables import stream_status


@pytest.mark.parametrize(
    ("code", "signal", "shown"),
    [
        (-9, "SIGKILL", "killed from outside (signalled, SIGKILL)"),
        (1, None, "killed from outside (signalled, exit code 1)"),
        (0, None, "killed from outside (signalled, exit code 0)"),
        (None, None, "killed from outside (signalled)"),
    ],
)
def test_how_it_ended_names_what_is_known(code: int | None, signal: str | None, shown: str) -> None:
    status: dict[str, Any] = {
        "request_id": "a",
        "exit_cause": "signalled",
        "exit_code": code,
        "exit_signal": signal,
    }
    assert f"ended     {shown}" in stream_status(status).splitlines()


def line(status: dict[str, Any], name: str) -> str:
    [found] = [x for x in stream_status(status).splitlines() if x.split(" ")[0] == name]
    return found.removeprefix(name).strip()


def test_restarts_frames_that_passed_and_sound() -> None:
    assert [line({}, name) for name in ("restarts", "frames", "sound")] == [
        "-", "- in, - out, - passed through", "-",
    ]  # fmt: skip
    status: dict[str, Any] = {
        "restarts": 2,
        "deaths": [
            {"time": "T1", "exit_cause": "nonzero", "exit_code": 1, "signal": None},
            {"time": "T2", "exit_cause": "nonzero", "exit_code": 37, "signal": None},
        ],
        "frames": {"in": 90, "out": 88, "passed_through": 7},
        "audio": {"in": 40, "out": 37, "silence": 2, "unheard": 0, "dropped": {"damaged": 3}},
        "detail": {"audio": {"codec_in": "aac", "tracks": 2, "way": "passed on"}},
    }
    assert line(status, "restarts") == (
        "2, the last at T2: its program broke off with an error (nonzero, exit code 37)"
    )
    assert line(status, "frames") == "90 in, 88 out, 7 passed through"
    assert line(status, "sound") == (
        "aac, 2 tracks, passed on as it came, 40 in, 37 out, 2 of silence, 3 damaged"
    )
    status |= {"audio": {"in": 0, "out": 0, "dropped": {}}, "detail": {"audio": None}}
    assert line(status, "sound") == "none comes in"
    status["audio"] = {"in": 0, "out": 284, "dropped": {}}
    status["detail"] = {"audio": {"codec_in": None, "tracks": 0, "way": "workflow"}}
    assert line(status, "sound") == "silence, through the workflow, 0 in, 284 out"


def test_sound_alone_has_no_frames() -> None:
    status: dict[str, Any] = {
        "frames": {"in": 0, "out": 0, "passed_through": 0},
        "audio": {"in": 40, "out": 37, "dropped": {}},
        "detail": {
            "codec_in": None,
            "audio": {"codec_in": "opus", "tracks": 1, "way": "passed on"},
        },
    }
    assert line(status, "frames") == "no video comes in"
    assert line(status, "sound") == "opus, passed on as it came, 40 in, 37 out"
    status["detail"]["codec_in"] = "h264"  # no frame of it has come in yet
    assert line(status, "frames") == "0 in, 0 out, 0 passed through"
