"""The sound: a tone that stands for it on the way in, a file in the temp folder on the way out."""

from __future__ import annotations

import math
import wave
from typing import Any

import torch

from .declared import CATEGORY, preview_file, timeout_input

_RATE = 48_000  # samples per second
_TONE = 440.0  # Hz
_LOUDNESS = 0.2  # of full scale


class LoadAudioTensor:
    """``buffer_size`` milliseconds as {"waveform": [1, 1, samples], "sample_rate": Hz}."""

    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    FUNCTION = "execute"
    CATEGORY = CATEGORY
    DESCRIPTION = "The stream's sound, in pieces of a fixed length. Here in the editor: a tone."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        length = {"default": 500.0, "min": 10.0, "max": 60_000.0, "tooltip": "Milliseconds."}
        return {
            "required": {"buffer_size": ("FLOAT", length)},
            "optional": {"timeout_seconds": timeout_input()},
        }

    def execute(self, buffer_size: float, timeout_seconds: float = 1.0) -> tuple[dict[str, Any]]:
        times = torch.arange(int(_RATE * buffer_size / 1000)) / _RATE
        tone = _LOUDNESS * torch.sin(2 * math.pi * _TONE * times)
        return ({"waveform": tone[None, None], "sample_rate": _RATE},)


class SaveAudioTensor:
    """Writes a WAV file, 16 bit, that the editor can play; AUDIO of one or two channels."""

    RETURN_TYPES = ()
    FUNCTION = "execute"
    CATEGORY = CATEGORY
    OUTPUT_NODE = True
    DESCRIPTION = "The sound that leaves the stream. Here in the editor: a file in the temp folder."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"audio": ("AUDIO",)}}

    def execute(self, audio: dict[str, Any]) -> dict[str, Any]:
        channels = torch.as_tensor(audio["waveform"])[0].float().cpu()
        samples = (channels.clamp(-1.0, 1.0) * 32767.0).round().to(torch.int16)
        path, entry = preview_file("wav")
        with wave.open(str(path), "wb") as file:
            file.setnchannels(samples.shape[0])
            file.setsampwidth(2)
            file.setframerate(int(audio["sample_rate"]))
            file.writeframes(samples.T.contiguous().numpy().astype("<i2").tobytes())
        return {"ui": {"audio": [entry]}}
