"""A stretch of decoded sound on its way through a worker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from comfytrickle.mpegts.units import CLOCK

Samples = npt.NDArray[np.float32]  # [channels, n], -1..1


def ticks(samples: int, rate: int) -> int:
    """How long ``samples`` at ``rate`` per second last in 90 kHz ticks, to the nearest."""
    return (2 * samples * CLOCK + rate) // (2 * rate)


@dataclass(frozen=True, slots=True)
class Sound:
    """``samples`` is [channels, n], planar, in libav's order of channels.

    ``pts`` is that of the first sample, in 90 kHz ticks on the output's timeline.
    """

    samples: Samples
    rate: int  # samples per second
    pts: int

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def count(self) -> int:
        """Samples of each channel."""
        return int(self.samples.shape[1])

    @property
    def duration(self) -> int:
        """In ticks, to the nearest."""
        return ticks(self.count, self.rate)

    @property
    def end_pts(self) -> int:
        """When the sample after the last one would begin."""
        return self.pts + self.duration
