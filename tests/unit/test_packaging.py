"""What setup.cfg says of the packages is what the tree holds."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOTS = {"comfytrickle": "src/comfytrickle", "workers": "workers", "control_plane": "control_plane"}


def _setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_every_package_of_the_tree_is_listed_and_every_listed_one_exists() -> None:
    found = set()
    for name, folder in ROOTS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT / folder).parts
            found.add(".".join([name, *parts]))
    assert set(_lines(_setup()["options"]["packages"])) == found


def test_the_roots_are_mapped() -> None:
    mapped = dict(
        (side.strip() for side in line.split("="))  # type: ignore[misc]
        for line in _lines(_setup()["options"]["package_dir"])
    )
    assert mapped == ROOTS


def test_no_top_level_name_collides_with_comfyui() -> None:
    # These stand in ComfyUI's root; its checkout enters sys.path inside a worker.
    theirs = {"main", "server", "protocol", "nodes", "execution", "folder_paths", "utils", "app",
              "middleware", "comfy", "latent_preview", "comfy_extras", "api_server"}  # fmt: skip
    assert not theirs & set(ROOTS)


def test_the_version_is_said_once() -> None:
    from comfytrickle import __version__

    assert _setup()["metadata"]["version"] == __version__
