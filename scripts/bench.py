#!/usr/bin/env python3
"""Measure the whole of it, with the floor from the same run.

    scripts/bench.py [--seconds N] [--size WxH ...] [--json]

Without --size: 512x512 and 1280x720. With --json the last line is one JSON object: per measure
``floor``, ``ours`` and ``ratio``. What the measures mean: docs/performance.md.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"

if __name__ == "__main__":
    # The project's own environment, as the other scripts use it.
    if VENV.exists() and Path(sys.prefix) != VENV:
        python = str(VENV / "bin" / "python")
        os.execv(python, [python, __file__, *sys.argv[1:]])
    sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "src"), str(ROOT)]
    from benchmarks.run import main

    main()
