from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from control_plane.processes import logfiles
from control_plane.processes.log_pruner import LogPruner
from control_plane.processes.logfiles import Follower, LogDir, last_words, tail, tail_and_end


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert tail(path, 5) == ""
    path.write_text("a\nb\nc\nunfinished")
    assert tail(path, 2) == "c\nunfinished"
    assert tail(path, 99) == "a\nb\nc\nunfinished"
    assert tail(path, 0) == ""
    assert tail_and_end(path, 1) == ("unfinished", 16)
    path.write_bytes(b"\xff broken\n")
    assert tail(path, 1) == "\ufffd broken\n"


def test_a_tail_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "MAX_BYTES", 25)
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {n:03}\n" for n in range(100)))  # 9 bytes each
    assert tail(path, 1000) == "line 098\nline 099\n"


def test_follow_across_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("old\n")
    follower = Follower(path, 4)
    assert follower.read() == b""
    with path.open("a") as file:
        file.write("more\n")
    assert follower.read() == b"more\n"
    with path.open("a") as file:
        file.write("end of part one\n")
    path.rename(tmp_path / "x.log.1")
    assert follower.read() == b""  # no current part for a moment
    path.write_text("part two\n")
    assert follower.read() == b"end of part one\n"
    assert follower.read() == b"part two\n"
    assert follower.read() == b""


def test_last_words_begin_with_what_killed_it(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    log = [f"12:00 INFO [x] pid=7 m: line {n}\n" for n in range(50)]
    report = ["Fatal Python error: Segmentation fault\n", "\n", "Current thread:\n"]
    stacks = [f"  File {n}\n" for n in range(100)]
    path.write_text("".join([*log, *report, *stacks]))
    words = last_words(path, 40).splitlines(keepends=True)
    assert words == [*log[-10:], *report, *stacks[:27]]
    # A short report comes with more of what was before it.
    path.write_text("".join([*log, *report]))
    assert last_words(path, 40).splitlines(keepends=True) == [*log[-37:], *report]
    # An earlier worker's end is not this one's.
    path.write_text("".join([*report, *stacks, *log[:3]]))
    assert last_words(path, 4).splitlines(keepends=True) == [stacks[-1], *log[:3]]
    assert last_words(tmp_path / "none.log", 40) == ""


def test_follow_a_log_that_begins_later(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    follower = Follower(path, 0)
    assert follower.read() == b""
    path.write_text("first\n")
    assert follower.read() == b"first\n"


def test_prune_keeps_the_newest_and_those_in_use(tmp_path: Path) -> None:
    logs = LogDir(tmp_path, keep=2)
    logs.create()
    for age, stream_id in enumerate(["newest", "new", "old", "oldest but live"]):
        path = logs.stream(stream_id)
        path.write_text(stream_id)
        os.utime(path, (1000 - age, 1000 - age))
    rotated = logs.stream("old").with_name("old.log.1")
    rotated.write_text("older part")
    os.utime(rotated, (1, 1))
    (tmp_path / "streams" / "notes.txt").write_text("not ours")
    logs.inspector().write_text("inspector")
    assert logs.prune(["oldest but live"]) == 2
    left = {p.name for p in (tmp_path / "streams").iterdir()}
    assert left == {"newest.log", "new.log", "notes.txt", logs.stream("oldest but live").name}
    assert logs.inspector().exists()


def test_no_id_leads_out_of_the_folder(tmp_path: Path) -> None:
    logs = LogDir(tmp_path, keep=2)
    for stream_id in ("../../etc/passwd", "a/b", "..", "\0"):
        assert logs.stream(stream_id).parent == tmp_path / "streams"


async def test_many_starts_make_one_pass_later(tmp_path: Path) -> None:
    logs = LogDir(tmp_path, keep=1)
    logs.create()
    for number, name in enumerate(("a", "b", "c", "live")):
        logs.stream(name).write_text(name)
        os.utime(logs.stream(name), (number, number))
    pruner = LogPruner(logs)
    asked = []
    for _ in range(20):
        pruner.soon(lambda: asked.append(1) or ["live"])
    assert logs.stream("a").exists()  # nobody waited for it
    deadline = time.monotonic() + 10
    while logs.stream("a").exists() or logs.stream("b").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert (logs.stream("c").exists(), logs.stream("live").exists()) == (True, True)
    assert len(asked) == 1
    pruner.soon(list)
    await pruner.close()
    await pruner.close()
