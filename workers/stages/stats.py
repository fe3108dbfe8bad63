"""What a worker counts and times, and the Status made of it.

Each number has one writer (the stage that sees it happen), so no lock is needed; the loop reads
them twice a second.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

from comfytrickle.messages import Counters, Latency, Quantiles

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Window:
    """Quantiles over the last values."""

    def __init__(self, size: int = 300) -> None:
        self._values: deque[float] = deque(maxlen=size)

    def add(self, seconds: float) -> None:
        self._values.append(seconds)

    def quantiles(self) -> Quantiles | None:
        """In milliseconds; None when nothing was added."""
        values = sorted(self._values.copy())
        if not values:
            return None

        def at(q: float) -> float:
            return round(values[min(len(values) - 1, int(q * len(values)))] * 1e3, 3)

        return Quantiles(at(0.5), at(0.95), at(0.99))


class Rate:
    """Events a second over the last few seconds, and the age of the last one."""

    def __init__(self, over_s: float = 3.0) -> None:
        self._over = over_s
        self._times: deque[float] = deque(maxlen=2000)

    def tick(self, now: float) -> None:
        self._times.append(now)

    def per_second(self, now: float) -> float | None:
        """None before the first event; 0 when they ceased."""
        recent = [t for t in self._times.copy() if t > now - self._over]
        if len(recent) < 2:
            return 0.0 if self._times and now - self._times[-1] > self._over else None
        # Up to now when it has fallen silent, so that a stream that stops sinks to zero.
        until = now if now - recent[-1] > 1.0 else recent[-1]
        return round((len(recent) - 1) / max(until - recent[0], 1e-3), 2)

    def age(self, now: float) -> float | None:
        return round(now - self._times[-1], 3) if self._times else None


class Drops:
    """Frames that did not go out, by cause."""

    def __init__(self) -> None:
        self._by_cause: dict[str, int] = {}

    def add(self, cause: str, count: int = 1) -> None:
        self._by_cause[cause] = self._by_cause.get(cause, 0) + count

    def snapshot(self) -> dict[str, int]:
        return dict(self._by_cause)


class Stats:
    """All of one stream's figures."""

    def __init__(self) -> None:
        self.frames_in = 0
        self.frames_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.audio_in = 0
        self.audio_out = 0
        self.audio_unheard = 0
        self.alone = False  # sound without video: it stands for the frames
        self.node_errors = 0
        self.passed_through = 0
        self.decode = Window()
        self.engine = Window()
        self.encode = Window()
        self.total = Window()
        self.rate_in = Rate()
        self.rate_out = Rate()
        self.sound_in = Rate()
        self.sound_out = Rate()

    @property
    def has_output(self) -> bool:
        return bool(self.frames_out or (self.alone and self.audio_out))

    def input_age(self, now: float) -> float | None:
        """Seconds since the last frame came in; without video, since the last sound did."""
        return (self.sound_in if self.alone else self.rate_in).age(now)

    def output_age(self, now: float) -> float | None:
        """The same, of what went out."""
        return (self.sound_out if self.alone else self.rate_out).age(now)

    def latency(self) -> Latency:
        return Latency(
            decode=self.decode.quantiles(),
            engine=self.engine.quantiles(),
            encode=self.encode.quantiles(),
            total=self.total.quantiles(),
        )

    def counters(
        self, dropped: list[dict[str, int]], others: dict[str, Any] | None = None
    ) -> Counters:
        """Totals; ``dropped`` of several owners are added up, ``others`` have their own owners."""
        total: dict[str, int] = {}
        for part in dropped:
            for cause, count in part.items():
                if count:
                    total[cause] = total.get(cause, 0) + count
        return Counters(
            frames_in=self.frames_in,
            frames_out=self.frames_out,
            dropped=total,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            audio_in=self.audio_in,
            audio_out=self.audio_out,
            audio_unheard=self.audio_unheard,
            node_errors=self.node_errors,
            passed_through=self.passed_through,
            **(others or {}),
        )


def resident_bytes() -> int | None:
    """Memory of this process that is resident, shared pages included."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * _PAGE
    except OSError:
        return None  # not Linux, or /proc is hidden: then the figure is not known
