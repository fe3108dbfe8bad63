"""``comfytrickle install-nodes``: what it puts where, and what it does not touch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfytrickle import __version__
from comfytrickle.cli import main as cli
from comfytrickle.node_pack import MARKER
from tests.support.workspace import write_workspace

SOURCE = Path(__file__).parents[2] / "src" / "comfytrickle" / "editor_nodes"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return write_workspace(tmp_path / "ComfyUI", "2025-07-31")


def install(workspace: Path, *flags: str) -> int:
    return cli.main(["install-nodes", "--workspace", str(workspace), *flags])


def test_it_copies_the_pack_and_says_the_version(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(workspace) == 0
    pack = workspace / "custom_nodes" / "comfytrickle-nodes"
    shown = capsys.readouterr().out
    assert f"installed {__version__} in {pack};" in shown
    ours = {path.name for path in SOURCE.glob("*.py")}
    assert {path.name for path in pack.iterdir()} == {*ours, MARKER}
    for name in ours:
        assert (pack / name).read_bytes() == (SOURCE / name).read_bytes()
    assert [path.name for path in (workspace / "custom_nodes").iterdir()] == ["comfytrickle-nodes"]


def test_again_updates_an_older_one(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(workspace) == 0
    pack = workspace / "custom_nodes" / "comfytrickle-nodes"
    marker = {"version": "0.0.1", "files": ["__init__.py", "gone_since.py"]}
    for path in pack.glob("*.py"):
        path.unlink()
    (pack / MARKER).write_text(json.dumps(marker))
    (pack / "__init__.py").write_text("old")
    (pack / "gone_since.py").write_text("old")
    (pack / "__pycache__").mkdir()
    (
        workspace / "custom_nodes" / "comfytrickle-nodes.new.disabled"
    ).mkdir()  # of one that was killed
    capsys.readouterr()
    assert install(workspace) == 0
    assert f"installed {__version__} (was 0.0.1)" in capsys.readouterr().out
    assert not (pack / "gone_since.py").exists()
    assert (pack / "__init__.py").read_bytes() == (SOURCE / "__init__.py").read_bytes()
    assert [path.name for path in (workspace / "custom_nodes").iterdir()] == ["comfytrickle-nodes"]


def test_remove(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert install(workspace) == 0
    (workspace / "custom_nodes" / "another_pack").mkdir()
    assert install(workspace, "--remove") == 0
    assert f"removed {__version__}" in capsys.readouterr().out
    assert [path.name for path in (workspace / "custom_nodes").iterdir()] == ["another_pack"]
    assert install(workspace, "--remove") == 0
    assert "not there" in capsys.readouterr().out


def test_a_folder_that_is_no_comfyui(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nodes.py").write_text("")
    assert install(tmp_path) == 1
    said = capsys.readouterr().err
    assert "is not a ComfyUI: it has no folder_paths.py, execution.py, comfy" in said
    assert not (tmp_path / "custom_nodes").exists()
    assert install(tmp_path / "nowhere") == 1
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("marker", [None, "not json", "[]", '{"version": "1"}'])
@pytest.mark.parametrize("flags", [(), ("--remove",)])
def test_a_foreign_folder_of_that_name(
    workspace: Path,
    marker: str | None,
    flags: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    foreign = workspace / "custom_nodes" / "comfytrickle-nodes"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("theirs")
    if marker is not None:
        (foreign / MARKER).write_text(marker)
    assert install(workspace, *flags) == 1
    assert "was not put there by comfytrickle" in capsys.readouterr().err
    assert (foreign / "__init__.py").read_text() == "theirs"


@pytest.mark.parametrize("flags", [(), ("--remove",)])
def test_somebodys_file_among_ours(
    workspace: Path, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(workspace) == 0
    theirs = workspace / "custom_nodes" / "comfytrickle-nodes" / "notes.txt"
    theirs.write_text("mine")
    assert install(workspace, *flags) == 1
    assert "holds files that are not ours: notes.txt" in capsys.readouterr().err
    assert theirs.read_text() == "mine"


def test_a_link_is_not_followed(workspace: Path, tmp_path: Path) -> None:
    assert install(workspace) == 0
    pack = workspace / "custom_nodes" / "comfytrickle-nodes"
    elsewhere = tmp_path / "elsewhere"
    pack.rename(elsewhere)
    pack.symlink_to(elsewhere)
    assert install(workspace, "--remove") == 1
    assert (elsewhere / "__init__.py").exists() and pack.is_symlink()
