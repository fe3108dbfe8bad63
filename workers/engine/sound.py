"""Sound at the edges of a workflow: silence before there is any, and what comes out of one."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from workers.engine.protocol import Audio

MAX_CHANNELS = 8
MIN_RATE = 8_000  # Hz
MAX_RATE = 192_000
_SILENT_RATE = 48_000
_INT16_SCALE = 1.0 / 32768.0


class BadSound(ValueError):
    """What a node gave as AUDIO cannot leave as sound."""


def silence(seconds: float) -> Audio:
    """One channel at 48 kHz. A new one each time: a node may write into it."""
    waveform = torch.zeros(1, 1, round(_SILENT_RATE * seconds))
    return {"waveform": waveform, "sample_rate": _SILENT_RATE}


def read_sound(value: Any) -> Audio:
    """ComfyUI's AUDIO as sound that can leave: the first of a batch, float32 on the CPU.

    ``waveform``: a torch or numpy array [batch, channels, samples], [channels, samples] or
    [samples], 1 to 8 channels, of floats or of 16-bit integers (full scale: 32768), as
    ComfyStream's SaveAudioTensor takes them. ``sample_rate``: 8000 to 192000. Raises BadSound.
    """
    if not isinstance(value, Mapping) or not {"waveform", "sample_rate"} <= value.keys():
        raise BadSound(f"got {type(value).__name__}, not sound (waveform and sample_rate)")
    return {"waveform": _waveform(value["waveform"]), "sample_rate": _rate(value["sample_rate"])}


def same_sound(one: Audio, other: Audio) -> bool:
    """Sample for sample; NaN is equal to NaN."""
    first, second = one["waveform"], other["waveform"]
    return (
        one["sample_rate"] == other["sample_rate"]
        and first.shape == second.shape
        and bool(((first == second) | (first.isnan() & second.isnan())).all())
    )


def _waveform(value: Any) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "f" and value.dtype != np.int16:
            raise BadSound(f"got sound of {value.dtype}, not of floats")
        # A copy, which torch can look at whatever the strides are.
        dtype = np.int16 if value.dtype == np.int16 else np.float32
        value = torch.from_numpy(np.array(value, dtype=dtype, order="C"))
    if not isinstance(value, torch.Tensor):
        raise BadSound(f"its waveform is {type(value).__name__}, not a tensor")
    if not value.is_floating_point() and value.dtype is not torch.int16:
        raise BadSound(f"got sound of {value.dtype}, not of floats")
    shape = list(value.shape)
    batch = value[(None,) * (3 - len(shape))] if 1 <= len(shape) <= 3 else value
    if batch.ndim != 3 or not batch.shape[0] or not 1 <= batch.shape[1] <= MAX_CHANNELS:
        raise BadSound(
            f"got a waveform of shape {shape}, not [batch, 1 to {MAX_CHANNELS} channels, samples]"
        )
    waveform = batch[:1].to("cpu", torch.float32)
    return (waveform * _INT16_SCALE if value.dtype is torch.int16 else waveform).contiguous()


def _rate(value: Any) -> int:
    try:
        rate = operator.index(value)
    except TypeError:
        raise BadSound(f"its sample_rate is {value!r:.40}, not a whole number") from None
    if not MIN_RATE <= rate <= MAX_RATE:
        raise BadSound(f"its sample_rate is {rate}, not {MIN_RATE} to {MAX_RATE}")
    return rate
