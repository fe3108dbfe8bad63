"""The progress page tells the last complete record, whenever its writer dies."""

from __future__ import annotations

import os
import random
import signal
import time

import multiprocess

from comfytrickle.progress import Progress, ProgressPage


def test_what_was_written_last_is_read_through_another_mapping() -> None:
    page = ProgressPage.create()
    assert page.read() is None
    other = ProgressPage(os.dup(page.descriptor))
    for n in range(300):
        page.write(Progress(segment=n, source_pts=-1, pts=1 << 40, frames_out=n))
        assert other.read() == Progress(segment=n, source_pts=-1, pts=1 << 40, frames_out=n)
    again = ProgressPage(os.dup(page.descriptor))  # a later writer goes on
    again.write(Progress(segment=7, source_pts=8, pts=9))
    assert page.read() == Progress(segment=7, source_pts=8, pts=9)
    for each in (page, other, again):
        each.close()


def _write_for_ever(page: ProgressPage) -> None:
    n = 0
    while True:
        n += 1
        page.write(Progress(n, n, n, n, n, n, n))


def test_a_kill_at_any_moment_tears_nothing() -> None:
    context = multiprocess.get_context("fork")
    page = ProgressPage.create()
    seed = random.Random(5)
    for _ in range(40):
        before = page.read()
        process = context.Process(target=_write_for_ever, args=(page,))
        process.start()
        deadline = time.monotonic() + 10
        while page.read() == before and time.monotonic() < deadline:
            pass
        time.sleep(seed.random() * 0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        process.close()
        progress = page.read()
        assert progress is not None and progress != before
        assert len({progress.segment, progress.source_pts, progress.pts, progress.audio_pts,
                    progress.frames_in, progress.frames_out, progress.dropped}) == 1  # fmt: skip
    page.close()
