"""The folders of a workspace, as ComfyUI's main.py sets them up (that file is not run here)."""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
from pathlib import Path
from types import ModuleType

_log = logging.getLogger(__name__)

_MODEL_FOLDERS = ("checkpoints", "clip", "vae", "diffusion_models", "loras")


def set_folders(folder_paths: ModuleType, extra_config: ModuleType, root: Path) -> str | None:
    """input, output, temp and user are the workspace's own. Where it may not be written to, the
    last two are in a folder of this worker's, which is returned: it is the caller's to delete."""
    config = root / "extra_model_paths.yaml"
    if config.is_file():
        extra_config.load_extra_path_config(str(config))
    output = Path(folder_paths.get_output_directory())
    for name in _MODEL_FOLDERS:
        folder_paths.add_model_folder_path(name, str(output / name))
    private = None
    if not os.access(root, os.W_OK):
        private = tempfile.mkdtemp(prefix="comfytrickle-comfyui-")
    base = root if private is None else Path(private)
    folder_paths.set_temp_directory(str(base / "temp"))
    if hasattr(folder_paths, "set_user_directory"):
        folder_paths.set_user_directory(str(base / "user"))
    Path(folder_paths.get_temp_directory()).mkdir(parents=True, exist_ok=True)
    return private


def run_prestartup_scripts(folder_paths: ModuleType) -> dict[str, str]:
    """Each custom node's prestartup_script.py. Returns those that failed: script -> reason."""
    failed = {}
    for folder in folder_paths.get_folder_paths("custom_nodes"):
        path = Path(folder)
        packs = sorted(path.iterdir()) if path.is_dir() else []
        for pack in packs:
            script = pack / "prestartup_script.py"
            if pack.name.endswith(".disabled") or not script.is_file():
                continue
            try:
                _run_script(script)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code; reported
                failed[str(script)] = f"{type(error).__name__}: {error}"
                _log.warning("%s failed", script, exc_info=True)
    return failed


def _run_script(script: Path) -> None:
    # The name that ComfyUI gives it: the path without its suffix.
    spec = importlib.util.spec_from_file_location(str(script.with_suffix("")), script)
    if spec is None or spec.loader is None:
        raise ImportError(f"Python has no loader for {script}")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
