#!/usr/bin/env python3
"""Is sound in step with its picture? A pattern that flashes and beeps, through a stream.

    scripts/bench_sync.py [--seconds N] [--size WxH] [--json]

A row for each way that sound takes (passed on, encoded anew, by the workflow) and for workflows
that take 5 and 60 ms a frame; the latter is twice as slow as the source. Offsets are sound minus
picture: "true" by the counters in the frames, "seen" by the first frame that flashes. The floor is
what the source itself shows. With --json the last line is one JSON object.
"""

from benchmarks.own_python import enter

if __name__ == "__main__":
    enter(__file__)
    from benchmarks.sync import main

    main()
