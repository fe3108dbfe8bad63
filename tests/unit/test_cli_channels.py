"""What publish and pull say before they have anything to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfytrickle.cli.main import main
from tests.support.orchestrator import plain_server

CHANNEL = "http://127.0.0.1:9/in"  # nobody listens there


@pytest.mark.parametrize("url", ["127.0.0.1:2939/in", "ftp://host/in", "http://", "http://[/in"])
@pytest.mark.parametrize("command", [("publish", "testsrc", "{}"), ("pull", "{}", "-")])
def test_a_url_that_is_no_channel_is_wrong_usage(
    command: tuple[str, ...], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([part.format(url) for part in command])
    assert end.value.code == 2
    assert f"{url!r} is not a channel; write for example http://" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said_before_a_server_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(tmp_path / "no.mp4"), CHANNEL]) == 1
    assert "No such file" in capsys.readouterr().err


def test_pull_says_why_nothing_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", CHANNEL, str(tmp_path / "out.ts"), "--seconds", "0.5"]) == 1
    shown = capsys.readouterr().err
    assert f"{CHANNEL}: cannot reach the server, retrying: Cannot connect to host" in shown


def test_a_server_without_tls_is_called_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with plain_server() as port:
        url = f"https://127.0.0.1:{port}/in"
        assert main(["pull", url, str(tmp_path / "out.ts"), "--seconds", "0.5"]) == 1
    shown = capsys.readouterr().err
    assert f"{url}: cannot reach the server, retrying: the server speaks no TLS there" in shown
