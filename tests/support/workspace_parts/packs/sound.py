"""A node pack for sound: each node does one thing that an engine has to get right."""
# ruff: noqa: RUF012

import nodes
import numpy as np
import torch


class _Sound:
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "run"
    CATEGORY = "probe"
    INPUTS = {"required": {"audio": ("AUDIO",)}}

    @classmethod
    def INPUT_TYPES(cls):
        return cls.INPUTS


class ProbeGain(_Sound):
    """Writes into what it was given, as real ones do; refuses full scale."""

    INPUTS = {"required": {"audio": ("AUDIO",), "gain": ("FLOAT", {"default": 1.0})}}

    def run(self, audio, gain):
        if audio["waveform"].max() >= 1.0:
            raise ValueError("this piece is too loud")
        audio["waveform"].mul_(gain)
        return (audio,)


class ProbeBefore(_Sound):
    """The piece before this one, at first silence."""

    def __init__(self):
        self.last = None

    def run(self, audio):
        kept = {**audio, "waveform": audio["waveform"].clone()}
        before, self.last = self.last, kept
        return ({**kept, "waveform": kept["waveform"] * 0} if before is None else before,)


class ProbeOld(_Sound):
    """Sound as ComfyStream's first nodes had it: 16-bit numpy without a batch."""

    def run(self, audio):
        samples = (audio["waveform"][0].numpy() * 32768).astype(np.int16)
        return ({"waveform": samples, "sample_rate": audio["sample_rate"]},)


class ProbeChannels(_Sound):
    """The list of its channels."""

    OUTPUT_IS_LIST = (True,)

    def run(self, audio):
        channels = audio["waveform"].split(1, dim=1)
        return ([{**audio, "waveform": channel} for channel in channels],)


class ProbeTogether(_Sound):
    """A list of channels, the last one first, as one."""

    INPUT_IS_LIST = True

    def run(self, audio):
        waveform = torch.cat([each["waveform"] for each in audio[::-1]], dim=1)
        return ({**audio[0], "waveform": waveform},)


class ProbeCount(_Sound):
    """Other sound at each call of any instance: no two ways of running it agree."""

    CALLS = []

    def run(self, audio):
        self.CALLS.append(1)
        return ({**audio, "waveform": audio["waveform"] * 0 + len(self.CALLS) / 100},)


class ProbeStop(_Sound):
    """A piece that begins with 0.5 is interrupted from elsewhere just while it runs."""

    def run(self, audio):
        if float(audio["waveform"][0, 0, 0]) == 0.5:
            nodes.interrupt_processing(True)
        return (audio,)


class ProbeLoudest(_Sound):
    RETURN_TYPES = ("FLOAT", "STRING")

    def run(self, audio):
        loudest = float(audio["waveform"].abs().max())
        return (loudest, f"{loudest:.2f}")


class ProbeDim(_Sound):
    RETURN_TYPES = ("IMAGE",)
    INPUTS = {"required": {"image": ("IMAGE",), "by": ("FLOAT", {"default": 1.0})}}

    def run(self, image, by):
        return (image * by,)


NODE_CLASS_MAPPINGS = {
    kind.__name__: kind
    for kind in (
        ProbeGain,
        ProbeBefore,
        ProbeOld,
        ProbeChannels,
        ProbeTogether,
        ProbeCount,
        ProbeStop,
        ProbeLoudest,
        ProbeDim,
    )
}
