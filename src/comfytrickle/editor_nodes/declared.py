"""What the nodes of this pack have in common, and ComfyStream's inputs."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import folder_paths

CATEGORY = "comfytrickle"


def timeout_input() -> tuple[str, dict[str, Any]]:
    """As ComfyStream has it; nothing is waited for here."""
    return (
        "FLOAT",
        {
            "default": 1.0,
            "min": 0.1,
            "max": 30.0,
            "step": 0.1,
            "tooltip": "Of ComfyStream's workflows. Not used in the editor.",
        },
    )


def preview_file(ending: str) -> tuple[Path, dict[str, str]]:
    """A new file in ComfyUI's temp folder, and how the editor is told of it."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    name = f"comfytrickle_{uuid.uuid4().hex}.{ending}"
    return folder / name, {"filename": name, "subfolder": "", "type": "temp"}
