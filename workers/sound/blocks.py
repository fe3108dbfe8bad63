"""Samples as they come -> blocks of the one size that an encoder takes. Pure."""

from __future__ import annotations

import numpy as np

from workers.sound.sound import Samples


class Blocks:
    """Blocks of ``size`` samples, in order, nothing left out."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._parts: list[Samples] = []
        self._count = 0

    def push(self, samples: Samples) -> list[Samples]:
        """[channels, n]; the blocks [channels, size] that are complete with it."""
        self._parts.append(samples)
        self._count += samples.shape[1]
        if self._count < self.size:
            return []
        joined = np.concatenate(self._parts, axis=1)
        whole = self._count - self._count % self.size
        self._parts = [joined[:, whole:]]
        self._count -= whole
        return [joined[:, at : at + self.size] for at in range(0, whole, self.size)]

    def flush(self) -> list[Samples]:
        """The rest, filled up with silence."""
        if not self._count:
            return []
        channels = self._parts[0].shape[0]
        return self.push(np.zeros((channels, self.size - self._count), np.float32))

    def clear(self) -> None:
        self._parts.clear()
        self._count = 0
