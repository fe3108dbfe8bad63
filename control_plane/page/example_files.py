"""The example workflows that come with the package, and what the page says of each.

``example_workflows`` beside this file is a link to the repository's examples/workflows: one place
in the tree, and ordinary package data once installed. What each shows stands in the tables of its
README.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

FOLDER = Path(__file__).parent / "example_workflows"

# | [blur.json](blur.json) | soft | ...
_ROW = re.compile(r"^\| \[[^]]*\]\(([\w/]+)\.json\) \| ([^|]+?) \|", re.M)


class Example(msgspec.Struct, frozen=True):
    """``models``: it needs a real ComfyUI with models. ``shows``: "" when nothing is written."""

    name: str
    shows: str
    models: bool
    workflow: dict[str, Any]


def read_examples(folder: Path = FOLDER) -> dict[str, Example]:
    """By name, those without models first. Raises OSError, msgspec.DecodeError."""
    shows = {Path(path).name: words for path, words in _ROW.findall(_text(folder / "README.md"))}
    paths = [*sorted(folder.glob("*.json")), *sorted(folder.glob("models/*.json"))]
    return {
        path.stem: Example(
            path.stem,
            shows.get(path.stem, ""),
            path.parent != folder,
            msgspec.json.decode(path.read_bytes()),
        )
        for path in paths
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
