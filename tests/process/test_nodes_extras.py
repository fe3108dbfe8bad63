"""Importing the node pack must not import kornia, whose import takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from workers import nodes
assert "Canny" in nodes.NODE_CLASS_MAPPINGS and nodes.missing_extras() == {}
assert not [name for name in sys.modules if name.split(".")[0] == "kornia"]
try:
    nodes.NODE_CLASS_MAPPINGS["Canny"]()
except ImportError as error:
    print(error)
"""


def test_kornia_is_imported_only_when_its_node_is_instantiated(tmp_path: Path) -> None:
    package = tmp_path / "kornia"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('kornia was imported')\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}:{ROOT / 'src'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "kornia was imported"
