"""A folder with the peer of the interoperability tests: pytrickle, as pip gives it.

It asks for an older PyAV than we have, so it gets a folder of its own, which stands before our
packages on the peer process's path; torch, numpy, aiohttp and Pillow it takes from ours. The folder
is made once, in ``.cache`` of the repository.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PEER = "pytrickle==0.1.6"
# Without what it names as needed beside them: OpenCV, MQTT, uvloop and pytest are for other uses.
_ALONE = (PEER, "av>=14,<=14.4.0")
_WITH_NEEDS = ("pydantic>=2,<3",)
_PIP_S = 240.0


class NoPeer(Exception):
    """pip cannot get the packages here; the text says why."""


def peer_site() -> Path:
    """The folder, made if need be. Raises NoPeer. Safe to call from several processes at once."""
    python = f"{sys.implementation.cache_tag}"
    folder = ROOT / ".cache" / f"pytrickle-site-{python}"
    folder.parent.mkdir(exist_ok=True)
    stamp, wanted = folder / ".installed", "\n".join(_ALONE + _WITH_NEEDS)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            _pip(folder, "--no-deps", *_ALONE)
            _pip(folder, *_WITH_NEEDS)
            stamp.write_text(wanted)
    return folder


def _pip(folder: Path, *what: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--target", str(folder), "--quiet"]
    command += ["--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
    # one try: where there is no network, the tests are to be skipped soon
    command += ["--retries", "0", "--timeout", "15", *what]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_PIP_S
        )
    except subprocess.TimeoutExpired:
        raise NoPeer(f"pip needs more than {_PIP_S:.0f} s for {' '.join(what)}") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = errors[-1] if errors else done.stderr.strip()[-300:] or f"exit {done.returncode}"
        raise NoPeer(f"pip cannot install {PEER}: {why}")
