"""Warming up in a fresh interpreter: it pays, it leaves no thread, and the process can fork."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(code: str) -> list[str]:
    """The words that ``code`` prints in an interpreter of its own.

    OpenBLAS starts threads when numpy is imported; they are not what is looked for here.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env={
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "PATH": "/usr/bin:/bin",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_no_thread_is_left_and_a_forked_child_streams() -> None:
    threads, child, cuda = run(
        """
        import os, torch
        from workers.media.warm import warm_up
        warm_up()
        print(len(os.listdir("/proc/self/task")))
        pid = os.fork()
        if not pid:
            import signal
            signal.alarm(60)  # a lock that a lost thread holds must not hang the test
            warm_up(128, 64)  # the same way again, in a process without the parent's threads
            os._exit(len(os.listdir("/proc/self/task")))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), torch.cuda.is_initialized())
        """
    )
    assert threads == "1"
    assert child == "1"  # its exit code: one thread, no signal
    assert cuda == "False"


def test_the_first_frame_afterwards_costs_what_a_later_one_does() -> None:
    before, after = run(
        """
        import time, torch
        torch.set_num_threads(1)
        from workers.media.warm import warm_up
        begun = time.thread_time()
        warm_up()
        print(time.thread_time() - begun)
        begun = time.thread_time()
        warm_up()
        print(time.thread_time() - begun)
        """
    )
    assert float(after) < float(before)
