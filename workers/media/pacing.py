"""Which frame the engine gets next, and which ones it never sees. Pure: the clock is passed in.

An engine that keeps up gets every frame in order, also the backlog of a start or of a hiccup: it
will be through with it soon. One that does not keep up gets the newest frame, because working off
the old ones would only make every later frame late too. What decides is how long the backlog would
take to clear at the measured pace.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from comfytrickle.mpegts.units import CLOCK
from workers.media.frames import Frame

DROP_LATEST = "latest"
DROP_NEVER = "never"

# Clearing a backlog may take so long; to begin with it after having skipped, it must look better.
_PATIENCE_S = 2.0
_RETURN_S = 1.0
# However good it looks: after so long behind, the estimate is wrong.
_BEHIND_S = 3.0
# A newer frame that is due within this share of a frame's work is worth waiting for: it costs that
# much throughput, makes the result fresher, and locks a slow engine to the source's rhythm.
_WAIT_SHARE = 0.15
_ROUNDING = CLOCK // 1000  # ticks that a timestamp may be off its place in an even rhythm
_COLD = 3  # the first frames of all: caches, kernels, buffers; they say nothing of the later ones
_SERVICES = 8
_INTERVALS = 9

MAX_FRAMES = 64
MAX_BYTES = 256 << 20
MAX_FRAMES_NEVER = 8  # back-pressure needs no store, only enough to keep both sides busy


class Pacing:
    """Oldest, newest, or wait: decided from how long frames take and how often they come.

    The pace of the source is taken from timestamps, since arrival times lie in a burst. The worst
    of the last few service times does not count: it is a warm-up, a reload, a hiccup.
    """

    def __init__(self) -> None:
        self._services: deque[float] = deque(maxlen=_SERVICES)
        self._cold = _COLD
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)
        self._last_pts: int | None = None
        self._last_came = 0.0
        self._behind_since: float | None = None
        self.skipping = False

    @property
    def service_s(self) -> float:
        """Seconds of work a frame; 0 while unknown."""
        if len(self._services) < 2:
            return 0.0
        return (sum(self._services) - max(self._services)) / (len(self._services) - 1)

    @property
    def interval_s(self) -> float:
        """Seconds between frames of the source; 0 while unknown."""
        return median(self._intervals) / CLOCK if self._intervals else 0.0

    def came(self, pts: int, now: float) -> None:
        """A frame arrived."""
        if self._last_pts is not None and pts > self._last_pts:
            self._intervals.append(pts - self._last_pts)
        self._last_pts, self._last_came = pts, now

    def served(self, seconds: float) -> None:
        """The consumer is through with a frame."""
        if self._cold:
            self._cold -= 1
        else:
            self._services.append(seconds)

    def skip_to_newest(self, waiting: int, now: float) -> bool:
        """Whether to give the newest of ``waiting`` frames and drop the others."""
        if waiting <= 1:
            self._behind_since = None
            return self.skipping
        if self._behind_since is None:
            self._behind_since = now
        limit = _RETURN_S if self.skipping else _PATIENCE_S
        self.skipping = self._time_to_clear(waiting) > limit
        if now - self._behind_since > _BEHIND_S:
            self._behind_since = None
            return True
        return self.skipping

    def will_clear(self, waiting: int) -> bool:
        """Whether the consumer will be through with ``waiting`` frames soon, or nobody knows."""
        return not self.skipping and self._time_to_clear(waiting) <= _PATIENCE_S

    def worth_waiting_s(self, now: float) -> float:
        """Seconds until a newer frame is due, if waiting for it pays; else 0.

        Only asked while skipping.
        """
        interval = self.interval_s
        due = self._last_came + interval - now
        # The frame at hand has to be old already, and the next one must not be overdue.
        if 0 < due <= min(_WAIT_SHARE * self.service_s, interval / 2):
            return due
        return 0.0

    def _time_to_clear(self, waiting: int) -> float:
        service, interval = self.service_s, self.interval_s
        if not service or not interval:
            return 0.0
        if service >= interval:
            return float("inf")
        return waiting * service / (1 - service / interval)


class FramerateCap:
    """Lets through ``limit`` frames per second of presentation time, as evenly as they come."""

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._next: float | None = None

    def admits(self, pts: int) -> bool:
        if not self.limit:
            return True
        period = CLOCK / self.limit
        if self._next is None or not -1.5 * period < pts - self._next < period:
            self._next = pts + period  # the first one, after a gap, after a jump back
            return True
        if pts < self._next - _ROUNDING:
            return False
        self._next += period
        return True


class Backlog:
    """The frames between decoder and engine, under the drop policy. Not thread-safe."""

    def __init__(
        self,
        drop: str = DROP_LATEST,
        max_framerate: float | None = None,
        *,
        max_frames: int | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if drop not in (DROP_LATEST, DROP_NEVER):
            raise ValueError(f"drop is {DROP_LATEST!r} or {DROP_NEVER!r}, not {drop!r}")
        self.never = drop == DROP_NEVER
        self.dropped: dict[str, int] = {"latest": 0, "framerate": 0}
        self.cap = FramerateCap(max_framerate)
        self.pacing = Pacing()
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._max_frames = max_frames or (MAX_FRAMES_NEVER if self.never else MAX_FRAMES)
        self._max_bytes = max_bytes

    @property
    def waiting(self) -> int:
        """Frames in store."""
        return len(self._frames)

    @property
    def full(self) -> bool:
        """One more frame would be too many. A single frame is never too large."""
        return bool(self._frames) and (
            len(self._frames) >= self._max_frames or self._bytes >= self._max_bytes
        )

    @property
    def will_clear(self) -> bool:
        """Full or not, there is room soon without dropping anything."""
        return self.pacing.will_clear(len(self._frames))

    def put(self, frame: Frame, now: float) -> bool:
        """Take ``frame`` in, dropping the oldest for it if need be. False: over the frame rate.

        With drop "never" the caller waits until it is not full.
        """
        if not self.cap.admits(frame.pts):
            self.dropped["framerate"] += 1
            return False
        self.pacing.came(frame.pts, now)
        while self.full and not self.never:
            self._pop()
            self.dropped["latest"] += 1
        self._frames.append(frame)
        self._bytes += frame.rgb.nbytes
        return True

    def take(self, now: float, *, may_wait: bool = True) -> Frame | float | None:
        """The frame to work on; or how many seconds to wait for a better one; or None: empty."""
        if not self._frames:
            return None
        if not self.never and self.pacing.skip_to_newest(len(self._frames), now):
            while len(self._frames) > 1:
                self._pop()
                self.dropped["latest"] += 1
            if may_wait and (seconds := self.pacing.worth_waiting_s(now)):
                return seconds
        return self._pop()

    def _pop(self) -> Frame:
        frame = self._frames.popleft()
        self._bytes -= frame.rgb.nbytes
        return frame
