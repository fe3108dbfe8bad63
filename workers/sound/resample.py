"""Stereo at any rate -> stereo at one rate, sample by sample in place. One thread uses it."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from workers.sound.sound import Samples


class Resampler:
    """What comes out is ``rate`` / source rate as long as what went in, however it was cut.

    libswresample holds some samples back until it has seen what follows; a change of rate brings
    them out first, then a new one is begun.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._from = rate
        self._resampler: av.AudioResampler | None = None
        self._in = 0  # of the present resampler
        self._out = 0

    def push(self, samples: Samples, rate: int) -> list[Samples]:
        """[2, n] float32 at ``rate``; pieces at the resampler's own rate."""
        pieces = self.flush() if rate != self._from else []
        self._from = rate
        if rate == self._rate:
            return [*pieces, samples]
        if self._resampler is None:
            self._resampler = av.AudioResampler(format="fltp", layout="stereo", rate=self._rate)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format="fltp", layout="stereo"
        )
        frame.sample_rate = rate
        frame.pts = self._in
        frame.time_base = Fraction(1, rate)
        self._in += samples.shape[1]
        return pieces + self._run(self._resampler, frame)

    def flush(self) -> list[Samples]:
        """What was held back, to the exact length of what went in."""
        resampler, self._resampler = self._resampler, None
        if resampler is None:
            return []
        pieces = self._run(resampler, None)
        missing = round(Fraction(self._in * self._rate, self._from)) - self._out
        if missing > 0:
            pieces.append(np.zeros((2, missing), np.float32))
        while missing < 0 and pieces:
            last = pieces.pop()
            missing += last.shape[1]
            if missing > 0:
                pieces.append(last[:, :missing])
        self._in = self._out = 0
        return pieces

    def _run(self, resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[Samples]:
        pieces = [np.asarray(one.to_ndarray(), np.float32) for one in resampler.resample(frame)]
        self._out += sum(piece.shape[1] for piece in pieces)
        return pieces
