"""The scripts' way into the project's own environment, before anything else is imported."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"


def enter(script: str) -> None:
    """Run ``script`` by .venv's Python, as the other scripts do; from then on the project's
    packages can be imported, installed or not."""
    if VENV.exists() and Path(sys.prefix) != VENV:
        python = str(VENV / "bin" / "python")
        os.execv(python, [python, script, *sys.argv[1:]])
    sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "src"), str(ROOT)]


def enter_as_worker(script: str) -> None:
    """``enter``, with the environment that workers run in: without it every frame costs page
    faults, and more of them the more memory a frame frees at its end."""
    enter(script)
    from control_plane.processes.launcher import ENVIRONMENT

    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.environ.update(ENVIRONMENT)
        os.execv(sys.executable, [sys.executable, script, *sys.argv[1:]])
