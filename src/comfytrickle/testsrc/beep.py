"""Is sound in step with the picture? A flash and a beep at every full second show it.

Both begin at the second and last FLASH_S. Offsets are sound minus picture: positive is late sound.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

FLASH_S = 0.1
_PITCHES = 8  # that tell seconds from one another
_LOWEST, _STEP = 800.0, 200.0  # Hz
_WHITE = 200  # luma of a flash, from here on
_QUIET_S = 0.4  # before an onset
_LOUD = 0.05  # of full scale


def is_flash(n: int, fps: Fraction | float) -> bool:
    """Whether frame ``n`` is one of those that flash."""
    return float(Fraction(n) / Fraction(fps) % 1) < FLASH_S


def beeps(first: int, count: int, rate: int) -> npt.NDArray[np.float32]:
    """Samples ``first`` to ``first + count`` of a track that beeps: float32 [count]."""
    second, at = np.divmod(first + np.arange(count), rate)
    pitch = _LOWEST + _STEP * (second % _PITCHES)
    wave = 0.5 * np.sin(2 * np.pi * pitch * at / rate)
    return np.where(at < FLASH_S * rate, wave, 0.0).astype(np.float32)


def shows_flash(luma: npt.NDArray[np.uint8]) -> bool:
    """Of a picture's luma [height, width]: its middle is white."""
    height, width = luma.shape
    middle = luma[height * 3 // 8 : height // 2, width // 8 : width * 7 // 8]
    return bool(np.median(middle) >= _WHITE)


def onsets(samples: npt.NDArray[np.float32], rate: int) -> list[int]:
    """Where beeps begin in ``samples`` [n]: the first loud sample after a silence."""
    loud = np.flatnonzero(np.abs(samples) > _LOUD)
    if not len(loud):
        return []
    begins = np.concatenate(([loud[0] > _QUIET_S * rate], np.diff(loud) > _QUIET_S * rate))
    return [int(at) for at in loud[begins]]


def second_of(samples: npt.NDArray[np.float32], rate: int, onset: int, near: float) -> int:
    """Of which full second the beep at ``onset`` is, by its pitch: the one next to ``near``.

    It may be four seconds off.
    """
    beep = samples[onset : onset + int(FLASH_S * rate * 0.9)]
    spectrum = np.abs(np.fft.rfft(beep * np.hanning(len(beep)), rate))  # bins of 1 Hz
    pitch = float(np.argmax(spectrum[: int(_LOWEST + _STEP * _PITCHES)]))
    number = round((pitch - _LOWEST) / _STEP) % _PITCHES
    return number + _PITCHES * round((near - number) / _PITCHES)
