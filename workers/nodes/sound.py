"""AudioAdjustVolume, AudioMerge, SplitAudioChannels, JoinAudioChannels, EmptyAudio.

AUDIO is ``{"waveform": float [batch, channels, samples], "sample_rate": Hz}``. Each node looks at
one piece of sound and keeps nothing of it, so that pieces fit together again behind it.
"""

from __future__ import annotations

from typing import Any

import torch

from workers.nodes.contract import InputTypes, check_at_least, check_option
from workers.nodes.resample import resample

MERGE_METHODS = ("add", "mean", "subtract", "multiply")
_CATEGORY = "audio"

Sound = dict[str, Any]


def _read(name: str, audio: Any) -> tuple[torch.Tensor, int]:
    """Waveform and rate. Raises ValueError for what is no sound."""
    waveform = audio.get("waveform") if isinstance(audio, dict) else None
    if not isinstance(waveform, torch.Tensor) or waveform.ndim != 3:
        raise ValueError(f"{name} must be sound with a waveform [batch, channels, samples]")
    return waveform, int(audio["sample_rate"])


def _at_one_rate(first: Any, second: Any, names: tuple[str, str]) -> tuple[Any, Any, int]:
    """Both waveforms at the higher of the two rates."""
    one, rate = _read(names[0], first)
    other, other_rate = _read(names[1], second)
    common = max(rate, other_rate)
    return resample(one, rate, common), resample(other, other_rate, common), common


class AudioAdjustVolume:
    """``volume`` in decibels: 6 is about twice as loud, -6 half."""

    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "adjust_volume"
    CATEGORY = _CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        volume = {"default": 1, "min": -100, "max": 100, "tooltip": "Decibels; 0 changes nothing."}
        return {"required": {"audio": ("AUDIO",), "volume": ("INT", volume)}}

    def adjust_volume(self, audio: Sound, volume: int) -> tuple[Sound]:
        waveform, rate = _read("audio", audio)
        if volume == 0:
            return (audio,)
        return ({"waveform": waveform * 10 ** (volume / 20), "sample_rate": rate},)


class AudioMerge:
    """Two at once, as long as audio1, at the higher rate. What becomes louder than full scale is
    made quieter as a whole, each piece by itself."""

    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "merge"
    CATEGORY = _CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "audio1": ("AUDIO",),
                "audio2": ("AUDIO",),
                "merge_method": (list(MERGE_METHODS),),
            }
        }

    def merge(self, audio1: Sound, audio2: Sound, merge_method: str) -> tuple[Sound]:
        check_option("merge_method", merge_method, MERGE_METHODS)
        one, other, rate = _at_one_rate(audio1, audio2, ("audio1", "audio2"))
        length = one.shape[-1]
        other = torch.nn.functional.pad(other, (0, length - other.shape[-1]))  # or cuts it
        if merge_method == "add":
            waveform = one + other
        elif merge_method == "subtract":
            waveform = one - other
        elif merge_method == "multiply":
            waveform = one * other
        else:
            waveform = (one + other) / 2
        loudest = waveform.abs().max() if waveform.numel() else 0.0
        if loudest > 1.0:
            waveform = waveform / loudest
        return ({"waveform": waveform, "sample_rate": rate},)


class SplitAudioChannels:
    RETURN_TYPES = ("AUDIO", "AUDIO")
    RETURN_NAMES = ("left", "right")
    FUNCTION = "separate"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Stereo as left and right, one channel each."

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"audio": ("AUDIO",)}}

    def separate(self, audio: Sound) -> tuple[Sound, Sound]:
        waveform, rate = _read("audio", audio)
        if waveform.shape[1] != 2:
            raise ValueError(f"audio must have two channels, not {waveform.shape[1]}")
        left, right = waveform[:, 0:1], waveform[:, 1:2]
        return {"waveform": left, "sample_rate": rate}, {"waveform": right, "sample_rate": rate}


class JoinAudioChannels:
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "execute"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Two of one channel as stereo, as long as the shorter one, at the higher rate."

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"audio_left": ("AUDIO",), "audio_right": ("AUDIO",)}}

    def execute(self, audio_left: Sound, audio_right: Sound) -> tuple[Sound]:
        names = ("audio_left", "audio_right")
        left, right, rate = _at_one_rate(audio_left, audio_right, names)
        for name, waveform in zip(names, (left, right), strict=True):
            if waveform.shape[1] != 1:
                raise ValueError(f"{name} must have one channel, not {waveform.shape[1]}")
        length = min(left.shape[-1], right.shape[-1])
        stereo = torch.cat((left[..., :length], right[..., :length]), dim=1)
        return ({"waveform": stereo, "sample_rate": rate},)


class EmptyAudio:
    """``duration`` seconds of silence."""

    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "create_empty_audio"
    CATEGORY = _CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        longest = float(0xFFFFFFFFFFFFFFFF)
        return {
            "required": {
                "duration": ("FLOAT", {"default": 60.0, "min": 0.0, "max": longest, "step": 0.01}),
                "sample_rate": ("INT", {"default": 44_100, "min": 1, "max": 192_000}),
                "channels": ("INT", {"default": 2, "min": 1, "max": 2}),
            }
        }

    def create_empty_audio(self, duration: float, sample_rate: int, channels: int) -> tuple[Sound]:
        check_at_least("duration", duration, 0)
        check_at_least("sample_rate", sample_rate, 1)
        check_at_least("channels", channels, 1)
        waveform = torch.zeros(1, channels, round(duration * sample_rate))
        return ({"waveform": waveform, "sample_rate": sample_rate},)
