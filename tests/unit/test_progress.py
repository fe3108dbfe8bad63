"""The progress page tells the last complete record, whenever its writer dies."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import astuple

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


def test_a_sink_is_owed_until_it_has_ended() -> None:
    page = ProgressPage.create()
    other = ProgressPage(os.dup(page.descriptor))
    assert not page.owes_sink()
    other.note_sink(owed=True)
    assert page.owes_sink() and page.read() is None
    page.write(Progress(segment=7, source_pts=8, pts=9))
    assert other.owes_sink()
    other.note_sink(owed=False)
    assert not page.owes_sink() and page.read() == Progress(segment=7, source_pts=8, pts=9)
    page.close()
    other.close()


_WRITER = """
import sys
from comfytrickle.progress import Progress, ProgressPage
page = ProgressPage(int(sys.argv[1]))
n = int(sys.argv[2])
while True:
    n += 1
    page.write(Progress(n, n, n, n, n, n))
"""


def test_a_kill_at_any_moment_tears_nothing() -> None:
    page = ProgressPage.create()
    seed = random.Random(5)
    for turn in range(25):
        before = page.read()
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(page.descriptor), str(turn << 32)],
            pass_fds=[page.descriptor],
        )
        deadline = time.monotonic() + 30
        while page.read() == before and time.monotonic() < deadline:
            time.sleep(0.0001)
        time.sleep(seed.random() * 0.002)
        process.kill()
        process.wait()
        progress = page.read()
        assert progress is not None and progress != before
        assert progress.segment >> 32 == turn
        assert len(set(astuple(progress))) == 1
    page.close()
