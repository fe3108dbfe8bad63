"""Any number of channels -> stereo. Pure."""

from __future__ import annotations

import numpy as np

from workers.sound.sound import Samples

_HALF = 0.5**0.5  # -3 dB: ITU-R BS.775-3, annex 4

# By number of channels, in libav's order, without the LFE: how much of each goes to the left; the
# right is its mirror. 3: L R C; 4: L R C, one behind; 5: L R C, two behind; 6: L R C LFE, two
# behind; 7: L R C LFE, one behind, two beside; 8: L R C LFE, two behind, two beside.
_LEFT: dict[int, tuple[float, ...]] = {
    3: (1, 0, _HALF),
    4: (1, 0, _HALF, 0.5),
    5: (1, 0, _HALF, _HALF, 0),
    6: (1, 0, _HALF, 0, _HALF, 0),
    7: (1, 0, _HALF, 0, 0.5, _HALF, 0),
    8: (1, 0, _HALF, 0, _HALF, 0, _HALF, 0),
}
_PAIRS: dict[int, tuple[int, ...]] = {
    3: (1, 0, 2),
    4: (1, 0, 2, 3),
    5: (1, 0, 2, 4, 3),
    6: (1, 0, 2, 3, 5, 4),
    7: (1, 0, 2, 3, 4, 6, 5),
    8: (1, 0, 2, 3, 5, 4, 7, 6),
}


def to_stereo(samples: Samples) -> Samples:
    """[channels, n] -> [2, n], -1..1: what is beyond is clipped, what is no number is 0.

    Mono is doubled. More channels are mixed so that full scale in all of them is full scale; a
    number of channels that has no usual layout is averaged.
    """
    channels = samples.shape[0]
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    np.clip(finite, -1.0, 1.0, out=finite)
    if channels == 2:
        return finite
    if channels == 1:
        return np.repeat(finite, 2, axis=0)
    if channels not in _LEFT:
        return np.repeat(finite.mean(axis=0, keepdims=True, dtype=np.float32), 2, axis=0)
    left = np.array(_LEFT[channels], np.float32)
    left /= left.sum()
    mixed: Samples = np.stack([left, left[list(_PAIRS[channels])]]) @ finite
    return mixed
