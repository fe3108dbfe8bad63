"""Another sample rate: band-limited interpolation with a Hann-windowed sinc.

The filter is the one that torchaudio's ``resample`` has by default, and so ComfyUI's sound nodes: 6
zero crossings to each side, cut off at 0.99 of the lower rate's half.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional

_CROSSINGS = 6
_ROLLOFF = 0.99


def resample(waveform: torch.Tensor, rate: int, wanted: int) -> torch.Tensor:
    """[..., samples] at ``rate`` -> [..., ceil(samples * wanted / rate)] at ``wanted``. Beyond its
    ends a waveform is taken to be silent."""
    if rate == wanted:
        return waveform
    common = math.gcd(rate, wanted)
    step, phases = rate // common, wanted // common  # of so many samples so many are made
    cutoff = min(step, phases) * _ROLLOFF
    reach = math.ceil(_CROSSINGS * step / cutoff)
    length = waveform.shape[-1]
    filters = _filters(step, phases, cutoff, reach).to(waveform)
    padded = functional.pad(waveform.reshape(-1, 1, length), (reach, reach + step))
    made = functional.conv1d(padded, filters, stride=step)  # [all, phases, steps]
    inline = made.transpose(1, 2).reshape(*waveform.shape[:-1], -1)
    return inline[..., : -(-length * phases // step)]


def _filters(step: int, phases: int, cutoff: float, reach: int) -> torch.Tensor:
    """[phases, 1, taps]: one filter for each place that a new sample can have between old ones."""
    old = torch.arange(-reach, reach + step, dtype=torch.float64) / step
    new = torch.arange(phases, dtype=torch.float64) / phases
    distance = ((old[None, :] - new[:, None]) * cutoff).clamp(-_CROSSINGS, _CROSSINGS)
    window = torch.cos(distance * (math.pi / 2 / _CROSSINGS)).square()
    return (torch.sinc(distance) * window * (cutoff / step))[:, None, :]
