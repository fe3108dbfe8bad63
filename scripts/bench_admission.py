#!/usr/bin/env python3
"""Admission under load: exact, and a refusal at once.

    scripts/bench_admission.py [--rounds N] [--json]

100 starts at the same moment against 8 simulated GPUs with 2 slots each, whose workers are real
processes on the CPU; then all are stopped, and the same again. Exactly 16 may be accepted, the
others are refused with a reason. With --json the last line is one JSON object.
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
    from benchmarks.admission import main

    main()
