"""The workers' log files: where they are, their last lines, what follows, and how many stay.

A log is rotated by its worker: ``x.log`` is the current part, ``x.log.1`` the one before. What is
read at once is bounded. All of this blocks (briefly): call it in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from comfytrickle.logs import log_file_name

MAX_LINES = 10_000
MAX_BYTES = 1 << 20
_FATAL = "Fatal Python error: "  # how faulthandler begins


class LogDir:
    """The folder of logs. Streams' logs have a sub-folder of their own, which is ours to prune."""

    def __init__(self, root: Path, keep: int) -> None:
        self._root = root
        self._streams = root / "streams"
        self._keep = keep

    def create(self) -> None:
        """Raises OSError."""
        self._streams.mkdir(parents=True, exist_ok=True)

    def inspector(self, engine: str | None = None) -> Path:
        """None: that of the default engine."""
        return self._root / ("inspector.log" if engine is None else f"inspector-{engine}.log")

    def stream(self, stream_id: str) -> Path:
        return self._streams / log_file_name(stream_id)

    def prune(self, in_use: Collection[str]) -> int:
        """Delete the oldest logs beyond ``keep``, never those of the streams ``in_use``.

        Returns how many files were deleted. Raises OSError.
        """
        safe = {log_file_name(stream_id) for stream_id in in_use}
        files: list[tuple[float, Path]] = []
        for path in self._streams.iterdir():
            base = path.name if path.suffix == ".log" else path.stem  # x.log.1 belongs to x.log
            if base.endswith(".log") and base not in safe:
                files.append((path.stat().st_mtime, path))
        files.sort(reverse=True)
        for _, path in files[self._keep :]:
            path.unlink(missing_ok=True)
        return max(0, len(files) - self._keep)


def tail(path: Path, lines: int) -> str:
    """The last ``lines`` lines, at most MAX_BYTES of them; "" when there is no such file."""
    return tail_and_end(path, lines)[0]


def last_words(path: Path, lines: int) -> str:
    """Of a worker that died: the last ``lines`` lines, or, when they lie after the beginning of
    faulthandler's report, as many from a little before that on. The report names the signal and
    the thread that died first, and the stacks of all other threads after it.
    """
    kept = tail(path, MAX_LINES).splitlines(keepends=True)
    begin = max(0, len(kept) - lines)
    for at in reversed(range(len(kept))):
        if " pid=" in kept[at]:
            break  # a log line: what died before it was another worker of this stream
        if kept[at].startswith(_FATAL):
            begin = min(begin, max(0, at - lines // 4))
            break
    return "".join(kept[begin : begin + lines])


def keep_last_words(path: Path, lines: int) -> str:
    """The same, and into a file beside the log (``x.log.crash``), where the next start of the
    stream does not bury them."""
    words = last_words(path, lines)
    path.with_name(path.name + ".crash").write_text(words)
    return words


def tail_and_end(path: Path, lines: int) -> tuple[str, int]:
    """The same, and the offset at which it ends, from where a Follower goes on."""
    lines = max(0, min(lines, MAX_LINES))
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - MAX_BYTES))
            data = file.read(end - file.tell())
    except FileNotFoundError:
        return "", 0
    if end > MAX_BYTES:
        data = data[data.find(b"\n") + 1 :]  # the first line is likely cut
    kept = data.splitlines(keepends=True)[-lines:] if lines else []
    return b"".join(kept).decode("utf-8", "replace"), end


class Follower:
    """What is added to a log from an offset on, across rotations."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._inode = self._current_inode()

    def read(self) -> bytes:
        """The next bytes, at most MAX_BYTES; b"" when nothing was added."""
        inode = self._current_inode()
        if inode is None:
            return b""
        if self._inode is not None and inode != self._inode:
            rest = self._read_from(self._path.with_name(self._path.name + ".1"))
            if rest:  # first the end of the part that was rotated away
                return rest
            self._offset = 0
        self._inode = inode
        return self._read_from(self._path)

    def _read_from(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._offset:
                    self._offset = 0  # truncated by someone
                file.seek(self._offset)
                data = file.read(MAX_BYTES)
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data

    def _current_inode(self) -> int | None:
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return None
