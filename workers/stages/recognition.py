"""Whether what a source sends is video or sound at all. Pure: the clock is passed in.

A wrong channel (events, text) would be read for ever, and its reader would wait for
ever. A source that can be used shows its program at the start of every segment, and its video with
the program or some seconds later.
"""

from __future__ import annotations

from collections.abc import Collection

from comfytrickle.mpegts.units import ElementaryStream

NO_PROGRAM_SEGMENTS = 3
NO_PROGRAM_BYTES = 2 << 20
NO_VIDEO_S = 10.0


class Recognition:
    """Counts what came until video was seen."""

    def __init__(self) -> None:
        self._bytes = 0
        self._segments = 0
        self._first: float | None = None  # when the first byte came
        self._content_type: str | None = None

    def took(self, size: int, now: float) -> None:
        """Some bytes came. ``now`` in seconds of any clock."""
        self._bytes += size
        if self._first is None:
            self._first = now

    def segment_began(self, content_type: str | None) -> None:
        """``content_type``: what the channel calls itself; used in words only."""
        self._content_type = content_type

    def segment_ended(self) -> None:
        self._segments += 1

    def problem(
        self, streams: Collection[ElementaryStream], now: float, *, ended: bool = False
    ) -> str | None:
        """Why this is no usable source, once that is certain. ``ended``: nothing more comes.

        Ask only while no video was seen.
        """
        if self._first is None:
            return None
        if not streams:
            if not (
                ended or self._bytes > NO_PROGRAM_BYTES or self._segments >= NO_PROGRAM_SEGMENTS
            ):
                return None
            said = f" (the channel says {self._content_type})" if self._content_type else ""
            return (
                f"the source is not an MPEG transport stream: {self._bytes} bytes in "
                f"{self._segments} whole segments without a program{said}"
            )
        if any(s.kind in ("video", "audio") for s in streams):
            return None  # it is announced, and may pause for as long as it likes
        if not ended and now - self._first < NO_VIDEO_S:
            return None
        found = ", ".join(f"{s.kind} {s.codec or f'of type {s.stream_type:#04x}'}" for s in streams)
        return f"the source has no video or sound that is known here; its program has: {found}"
