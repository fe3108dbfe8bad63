"""What was sent against what came back: a pure account, frame by frame."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field

from comfytrickle.mpegts.units import PTS_MASK
from comfytrickle.testsrc.counter import PERIOD

_RECENT = 90  # frames behind the live figures


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float


def quantiles(seconds: array[float] | deque[float]) -> Quantiles | None:
    """Of all values, nearest rank; None when there are none."""
    if not seconds:
        return None
    values = sorted(seconds)

    def at(share: float) -> float:
        return round(1000 * values[min(len(values) - 1, int(share * len(values)))], 2)

    return Quantiles(at(0.50), at(0.95), at(0.99))


@dataclass(slots=True)
class Ledger:
    """Frames sent and frames received. All times are time.monotonic() seconds.

    lost: sent, and not there although the end came (see :meth:`close`) or a later one did.
    ``needs_counter``: every picture must show its counter. A workflow may make it unreadable; then
    False, and such a frame is known by its timestamp alone.
    """

    needs_counter: bool = True
    frames_in: int = 0
    frames_out: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    unreadable: int = 0  # came out, but no counter could be read
    unknown: int = 0  # of these, whose timestamp did not tell (or must not) which one it is
    wrong_pts: int = 0  # the timestamp is not that of the frame that was sent
    damaged: int = 0  # bytes were missing on the way
    pictures_checked: int = 0
    pictures_wrong: int = 0
    first_out_s: float | None = None  # first frame sent -> first frame received
    latencies: array[float] = field(default_factory=lambda: array("d"))
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _waiting: dict[int, tuple[float, int]] = field(default_factory=dict)  # n -> (time, pts)
    _by_pts: dict[int, int] = field(default_factory=dict)  # pts sent -> n, of those that wait
    _newest: int = -1  # highest n received
    _skipped: int = 0  # sent before _newest and not received
    _pts_offset: int | None = None
    _first_sent: float | None = None
    _first_received: float | None = None
    _arrivals: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def sent(self, n: int, at: float, pts: int) -> None:
        """Frame ``n`` (0, 1, 2, ...) is being written; ``pts`` in 90 kHz ticks."""
        if n != self.frames_in:
            raise ValueError(f"frame {n} sent after {self.frames_in} frames")
        if self._first_sent is None:
            self._first_sent = at
        self.frames_in += 1
        self._waiting[n] = (at, pts)
        self._by_pts[pts & PTS_MASK] = n

    def received(self, counter: int | None, at: float, pts: int | None) -> int | None:
        """A frame came out, ``at`` being when its last byte was read. Returns its number.

        None when nobody can tell which one it is.
        """
        self.frames_out += 1
        self._arrivals.append(at)
        if self._first_received is None:
            self._first_received = at
        if self.first_out_s is None and self._first_sent is not None:
            self.first_out_s = at - self._first_sent
        n = self._number(counter, pts)
        if n is None:
            self.unknown += 1
            return None
        entry = self._waiting.pop(n, None)
        if entry is None:
            self.duplicated += 1
            return n
        self._by_pts.pop(entry[1] & PTS_MASK, None)
        if n < self._newest:
            self.out_of_order += 1
            self._skipped -= 1
        else:
            self._skipped += n - self._newest - 1
            self._newest = n
        sent_at, sent_pts = entry
        self.latencies.append(at - sent_at)
        self.recent.append(at - sent_at)
        self._check_pts(pts, sent_pts)
        return n

    def picture(self, right: bool) -> None:
        """One frame's pixels were compared with what the workflow should have made of them."""
        self.pictures_checked += 1
        self.pictures_wrong += not right

    @property
    def lost(self) -> int:
        """Frames that a later one has overtaken."""
        return self._skipped

    @property
    def waiting(self) -> int:
        """Frames sent that have not come back, lost ones included."""
        return len(self._waiting)

    def close(self) -> None:
        """The end: what has not come by now is lost."""
        self._skipped = len(self._waiting)

    def rate(self) -> float | None:
        """Frames per second over the last frames received."""
        if len(self._arrivals) < 2 or self._arrivals[-1] <= self._arrivals[0]:
            return None
        return (len(self._arrivals) - 1) / (self._arrivals[-1] - self._arrivals[0])

    @property
    def mean_rate(self) -> float | None:
        """Frames per second over all frames received."""
        if self._first_received is None or self._arrivals[-1] <= self._first_received:
            return None
        return (self.frames_out - 1) / (self._arrivals[-1] - self._first_received)

    def faults(self) -> list[str]:
        """What is wrong, in words; empty when every frame is right."""
        out = []
        if self.frames_out == 0:
            out.append("no frame came out")
        for count, what in (
            (self.lost, "lost"),
            (self.duplicated, "duplicated"),
            (self.out_of_order, "out of order"),
            (
                self.unknown,
                "with an unreadable counter"
                + ("" if self.needs_counter else " and an unknown timestamp"),
            ),
            (self.wrong_pts, "with a wrong timestamp"),
            (self.damaged, "damaged"),
            (self.pictures_wrong, "with a wrong picture"),
        ):
            if count:
                out.append(f"{count} frame{'s' if count > 1 else ''} {what}")
        return out

    def _number(self, counter: int | None, pts: int | None) -> int | None:
        n = None if counter is None else self._unwrap(counter)
        if n is not None and n < self.frames_in:
            return n
        self.unreadable += 1
        if self.needs_counter or pts is None:
            return None
        return self._by_pts.get((pts - (self._pts_offset or 0)) & PTS_MASK)

    def _unwrap(self, counter: int) -> int:
        """The frame number nearest to the last one that shows this counter."""
        base = max(self._newest, 0)
        n = base + (counter - base + PERIOD // 2) % PERIOD - PERIOD // 2
        return n if n >= 0 else n + PERIOD

    def _check_pts(self, pts: int | None, sent: int) -> None:
        if pts is None:
            self.wrong_pts += 1
            return
        offset = (pts - sent) & PTS_MASK
        if self._pts_offset is None:
            self._pts_offset = offset
        # a clock of milliseconds on the way may round; a frame's length is far more
        elif (offset - self._pts_offset + 90) & PTS_MASK > 180:
            self.wrong_pts += 1
