"""Sound as it comes -> pieces of the one length that a workflow asks for. Pure."""

from __future__ import annotations

import numpy as np

from comfytrickle.mpegts.units import CLOCK
from workers.sound.anchor import LONGEST_FILLED, Anchor
from workers.sound.sound import Samples, Sound

# What silence is like before any sound has come.
_RATE = 48_000
_CHANNELS = 2


class Pieces:
    """Pieces of round(rate * ``seconds``) samples each, one after the other without a gap.

    Holes, overlaps and drift are treated as workers.sound.anchor says; a hole that is too long to
    be filled, another rate or other channels begin a new piece, and the unfinished one is completed
    with silence.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ready: list[Sound] = []
        self._begin(_RATE, _CHANNELS)

    def put(self, sound: Sound) -> None:
        if not sound.count:
            return
        if (sound.rate, sound.channels) != (self._rate, self._channels):
            self._complete()
            self._begin(sound.rate, sound.channels)
        placing = self._anchor.plan(sound.pts, sound.count, sound.rate)
        if placing.fresh:
            self._complete()
            self._given = 0
        self._anchor.take(placing, sound.pts, sound.count, sound.rate)
        if placing.silence:
            self._append(np.zeros((self._channels, placing.silence), np.float32))
        self._append(sound.samples[:, placing.cut :])

    def silence_until(self, pts: int) -> None:
        """Up to ``pts`` nothing more comes: what is missing is silence.

        Where there was nothing before, silence begins there. Sound that comes for that time after
        all is cut as an overlap.
        """
        if not self._anchor.begun:
            self._anchor.begin(pts)
            self._given = 0
            return
        end = self._anchor.end_pts
        if pts - end > LONGEST_FILLED:
            self._complete()
            self._anchor.begin(pts)
            self._given = 0
            return
        missing = (pts - end) * self._rate // CLOCK
        if missing > 0:
            self.put(Sound(np.zeros((self._channels, missing), np.float32), self._rate, end))

    def take(self) -> list[Sound]:
        """The pieces that are complete, in order, once."""
        ready, self._ready = self._ready, []
        return ready

    def flush(self) -> list[Sound]:
        """All there is; the last piece is completed with silence. It can go on after that."""
        self._complete()
        self._begin(self._rate, self._channels)
        return self.take()

    def leave(self) -> list[Sound]:
        """All there is; the last piece is as short as it is. It can go on after that."""
        pieces = self.take()
        if self._have:
            joined = np.concatenate(self._parts, axis=1)
            pieces.append(Sound(joined, self._rate, self._anchor.pts(self._given)))
        self._begin(self._rate, self._channels)
        return pieces

    def _begin(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._size = max(1, round(rate * self._seconds))
        self._anchor = Anchor(rate)
        self._parts: list[Samples] = []  # of the unfinished piece
        self._have = 0
        self._given = 0  # samples in pieces since the anchor's count began

    def _complete(self) -> None:
        if self._have:
            self._append(np.zeros((self._channels, self._size - self._have), np.float32))

    def _append(self, samples: Samples) -> None:
        self._parts.append(samples)
        self._have += samples.shape[1]
        if self._have < self._size:
            return
        joined = np.concatenate(self._parts, axis=1)
        for at in range(0, self._have - self._size + 1, self._size):
            pts = self._anchor.pts(self._given)
            self._ready.append(Sound(joined[:, at : at + self._size].copy(), self._rate, pts))
            self._given += self._size
        self._have %= self._size
        self._parts = [joined[:, joined.shape[1] - self._have :]] if self._have else []


def fit(samples: Samples, rate: int, piece: Sound) -> Sound:
    """What a workflow made of ``piece``: [channels, n] at ``rate``, as long as the piece was.

    The end is cut off, or silence put there.
    """
    wanted = round(piece.count * rate / piece.rate)
    fitted = np.zeros((samples.shape[0], wanted), np.float32)
    kept = min(wanted, samples.shape[1])
    fitted[:, :kept] = samples[:, :kept]
    return Sound(fitted, rate, piece.pts)
