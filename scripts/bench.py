#!/usr/bin/env python3
"""Measure the whole of it, with the floor from the same run.

    scripts/bench.py [--seconds N] [--size WxH ...] [--json]

Without --size: 512x512 and 1280x720. With --json the last line is one JSON object: per measure
``floor``, ``ours`` and ``ratio``. What the measures mean: docs/performance.md.
"""

from benchmarks.own_python import enter

if __name__ == "__main__":
    enter(__file__)
    from benchmarks.run import main

    main()
