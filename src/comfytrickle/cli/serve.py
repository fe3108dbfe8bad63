"""``comfytrickle serve``: becomes ``python -m control_plane``.

The control plane must be its own main module: every worker imports the main module of its parent
again, and that of a console script would be this whole command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from comfytrickle.typed import VARIABLE


def run(flags: Sequence[str]) -> int:
    """Never returns when the control plane could be started."""
    environ = {**os.environ, VARIABLE: "comfytrickle serve"}
    os.execve(sys.executable, [sys.executable, "-m", "control_plane", *flags], environ)
