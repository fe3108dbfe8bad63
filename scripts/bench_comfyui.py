#!/usr/bin/env python3
"""Measure a real ComfyUI: its own executor, and this project's ways of running the same workflow.

    scripts/bench_comfyui.py --workspace PATH [--frames N] [--size WxH] [--json]

One torch thread, on the CPU, in the environment of a worker. With --json the last line is a JSON
list of rows. It ends with 1 when an output of the resident graph differs from the one of ComfyUI's
executor.
"""

from benchmarks.own_python import enter_as_worker

if __name__ == "__main__":
    enter_as_worker(__file__)
    from benchmarks.comfyui import main

    main()
