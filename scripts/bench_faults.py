#!/usr/bin/env python3
"""Do every fault to a stream beside a healthy one, and show what it cost whom.

    scripts/bench_faults.py [--json] [--fault NAME ...] [--cycles N]

One row a fault. With --json the last line is a JSON list of the rows. Exit status 0: the neighbour
lost no frame in any row, and nothing was left behind. --cycles does N starts and stops instead,
every tenth with a crash, and shows what the control plane holds before and after.
"""

import sys

from benchmarks.own_python import enter

if __name__ == "__main__":
    enter(__file__)
    from benchmarks.faults import main

    sys.exit(main())
