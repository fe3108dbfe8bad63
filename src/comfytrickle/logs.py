"""Log lines: one format for all, and one rotated file for each worker.

Everything a worker writes goes to its file, also what C libraries print and faulthandler's stacks:
the descriptors 1 and 2 are the file, and follow it when it is rotated.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from pathlib import Path

from comfytrickle.messages import Launch


class _Formatter(logging.Formatter):
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03d"


def _formatter(name: str) -> logging.Formatter:
    label = name.replace("%", "%%")
    return _Formatter(f"%(asctime)s %(levelname)s [{label}] pid=%(process)d %(name)s: %(message)s")


class _DescriptorFollowingHandler(logging.handlers.RotatingFileHandler):
    """A rotating file whose current stream is also stdout and stderr of the process."""

    def redirect(self) -> None:
        if self.stream is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(self.stream.fileno(), 1)
            os.dup2(self.stream.fileno(), 2)

    def doRollover(self) -> None:  # noqa: N802  (logging's name)
        super().doRollover()
        self.redirect()


def open_worker_log(launch: Launch) -> None:
    """Send all logging, stdout and stderr of this process to ``launch.log_path``.

    Raises OSError when the file cannot be opened.
    """
    Path(launch.log_path).parent.mkdir(parents=True, exist_ok=True)
    handler = _DescriptorFollowingHandler(
        launch.log_path, maxBytes=launch.log_max_bytes, backupCount=launch.log_backups
    )
    handler.setFormatter(_formatter(launch.name))
    handler.redirect()
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(launch.log_level)
    logging.captureWarnings(True)


def log_to_stderr(level: str) -> None:
    """The control plane's own log."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter("control-plane"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def log_file_name(name: str) -> str:
    """A file name for a stream's log: letters, digits, ``._-`` as they are, others as ``_``.

    Names that had to be changed get a short digest, so that two streams never share a file.
    """
    import hashlib

    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    safe = safe.lstrip(".")[:80] or "stream"
    if safe != name:
        safe += "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return safe + ".log"
