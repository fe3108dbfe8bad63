#!/usr/bin/env python3
"""Do every fault to a stream beside a healthy one, and show what it cost whom.

    scripts/bench_faults.py [--json] [--fault NAME ...] [--cycles N]

One row a fault. With --json the last line is a JSON list of the rows. Exit status 0: the neighbour
lost no frame in any row, and nothing was left behind. --cycles does N starts and stops instead,
every tenth with a crash, and shows what the control plane holds before and after.
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
    from benchmarks.faults import main

    sys.exit(main())
