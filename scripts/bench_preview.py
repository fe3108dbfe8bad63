#!/usr/bin/env python3
"""What it costs to be watched, and how long a picture takes from a camera to a viewer.

    scripts/bench_preview.py [--seconds N] [--rounds N] [--size WxH] [--json]

A live stream alone and with four viewers by turns: its output rate, its latency, the worker's CPU
time a frame. Then a stream without a trickle server: JPEG in over a WebSocket at 15 fps, through a
workflow that changes nothing, JPEG out over the same. With --json the last line is one JSON object.
"""

from benchmarks.own_python import enter

if __name__ == "__main__":
    enter(__file__)
    from benchmarks.preview import main

    main()
