"""Node classes that take and give sound, an engine with them, and pieces of sound."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from comfytrickle.workflow import parse_prompt
from tests.support.engine_nodes import Base, Graph, engine, n
from workers.engine.embedded import EmbeddedEngine
from workers.engine.live import LiveWorkflow, load_live
from workers.engine.protocol import Audio
from workers.nodes.io import LoadAudioTensor, SaveAudioTensor

SOUND = ["sound", 0]


class Louder(Base):
    RETURN_TYPES = ("AUDIO",)
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"audio": ("AUDIO",), "gain": ("FLOAT", {})}}

    def execute(self, audio: Any, gain: float) -> tuple[Any]:
        if audio["waveform"].max() > 1.0:
            raise ValueError("this piece is too loud")
        return ({**audio, "waveform": audio["waveform"] * gain},)


class Before(Base):
    """Gives the piece before this one, at first silence."""

    RETURN_TYPES = ("AUDIO",)
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"audio": ("AUDIO",)}}

    def __init__(self) -> None:
        self.last: Any = None

    def execute(self, audio: Any) -> tuple[Any]:
        before, self.last = self.last, audio
        return (audio | {"waveform": audio["waveform"] * 0} if before is None else before,)


class Level(Base):
    """The loudest sample, as a number and as a text."""

    RETURN_TYPES = ("FLOAT", "STRING")
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"audio": ("AUDIO",)}}

    def execute(self, audio: Any) -> tuple[float, str]:
        loudest = float(audio["waveform"].abs().max())
        return loudest, f"{loudest:.2f} of {list(audio['waveform'].shape)}"


class Give(Base):
    """Whatever ``give`` is, as sound; a test sets it."""

    RETURN_TYPES = ("AUDIO",)
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"audio": ("AUDIO",)}}
    give: ClassVar[Any] = None

    def execute(self, audio: Any) -> tuple[Any]:
        return (self.give,)


CLASSES: dict[str, Any] = {
    cls.__name__: cls for cls in (LoadAudioTensor, SaveAudioTensor, Louder, Before, Level, Give)
}


def sound_engine(**more: Any) -> EmbeddedEngine:
    return engine(**CLASSES, **more)


def live(graph: Graph, **more: Any) -> LiveWorkflow:
    return load_live(sound_engine(**more), parse_prompt(graph))


def hearing(*, out: bool = True, **nodes: dict[str, Any]) -> Graph:
    """A workflow that is all about sound; with ``out`` the last of ``nodes`` goes out."""
    last = list(nodes)[-1] if nodes else "sound"
    graph = {"sound": n("LoadAudioTensor", buffer_size=100), **nodes}
    return graph | ({"save": n("SaveAudioTensor", audio=[last, 0])} if out else {})


def piece(seed: int = 0, channels: int = 2) -> Audio:
    generator = torch.Generator().manual_seed(seed)
    waveform = torch.rand(1, channels, 4800, generator=generator) * 2 - 1
    return {"waveform": waveform, "sample_rate": 48_000}
