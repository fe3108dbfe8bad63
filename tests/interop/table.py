"""The table of what came through, for people."""

from __future__ import annotations

from dataclasses import dataclass

PROPERTY = "interop"  # of a test's report; what it holds passes between processes as a dict

_HEAD = (
    "",
    "publisher",
    "in between",
    "subscriber",
    "sent",
    "received",
    "lost: ours",
    "lost: theirs",
    "held at end",
    "off, levels",
    "first",
    "delay ms",
)


@dataclass(frozen=True)
class Row:
    """One pair. ``held``: frames that had not come out before the source's channel ended."""

    number: int
    publisher: str
    between: str
    subscriber: str
    sent: int
    received: int
    lost_ours: int
    lost_theirs: int
    held: int
    off: float  # of the worst frame but the first: mean distance to the pattern, in levels
    off_first: float
    delay_ms: float  # median, from a frame's writing to its being there

    def cells(self) -> tuple[str, ...]:
        return (
            f"{self.number}",
            self.publisher,
            self.between,
            self.subscriber,
            f"{self.sent}",
            f"{self.received}",
            f"{self.lost_ours}",
            f"{self.lost_theirs}",
            f"{self.held}",
            f"{self.off:.1f}",
            f"{self.off_first:.1f}",
            f"{self.delay_ms:.0f}",
        )


def render(rows: list[Row]) -> list[str]:
    """Lines, the head first."""
    lines = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
    return ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
