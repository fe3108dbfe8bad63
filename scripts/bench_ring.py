#!/usr/bin/env python3
"""Measure a frame queue between two processes beside bare copies, or kill its two sides.

    scripts/bench_ring.py [--seconds N] [--json]
    scripts/bench_ring.py --kills N [--seed N] [--json]

Throughput of 512x512 and 1920x1080 (rgb24), the floor from the same run, and the hand-over's
latency. With --kills: SIGKILL to writer and reader at random moments; exit status 0 when no torn
frame was read, nothing hung and nothing was left. With --json the last line is one JSON object.
"""

import sys

from benchmarks.own_python import enter

if __name__ == "__main__":
    enter(__file__)
    from benchmarks.ring import main

    sys.exit(main())
