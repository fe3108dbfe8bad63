#!/usr/bin/env python3
"""Admission under load: exact, and a refusal at once.

    scripts/bench_admission.py [--rounds N] [--json]

100 starts at the same moment against 8 simulated GPUs with 2 slots each, whose workers are real
processes on the CPU; then all are stopped, and the same again. Exactly 16 may be accepted, the
others are refused with a reason. With --json the last line is one JSON object.
"""

from benchmarks.own_python import enter

if __name__ == "__main__":
    enter(__file__)
    from benchmarks.admission import main

    main()
