"""Text made of a stream's status."""

from __future__ import annotations

from typing import Any

import pytest

from comfytrickle.cli.tables import stream_status


@pytest.mark.parametrize(
    ("code", "signal", "shown"),
    [
        (-9, "SIGKILL", "signalled, SIGKILL"),
        (1, None, "signalled, exit code 1"),
        (0, None, "signalled, exit code 0"),
        (None, None, "signalled"),
    ],
)
def test_how_it_ended_names_what_is_known(code: int | None, signal: str | None, shown: str) -> None:
    status: dict[str, Any] = {
        "request_id": "a",
        "exit_cause": "signalled",
        "exit_code": code,
        "exit_signal": signal,
    }
    assert f"ended    {shown}" in stream_status(status).splitlines()
