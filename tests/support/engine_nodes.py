"""Small node classes in ComfyUI's V1 contract, and graphs around them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from comfytrickle.messages import EngineConfig
from comfytrickle.workflow import parse_prompt
from workers.engine.embedded import EmbeddedEngine
from workers.engine.registry import Registry
from workers.engine.resident import ResidentGraph

Graph = dict[str, Any]


class Base:
    """Shared declarations of the nodes of this file."""

    RETURN_TYPES: ClassVar[tuple[str, ...]] = ("IMAGE",)
    FUNCTION = "execute"
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"image": ("IMAGE",)}}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return cls.INPUTS


class Stream(Base):
    """The stream's own nodes: the engine does not call them."""

    def execute(self, **_: Any) -> Any:
        raise AssertionError("the engine must not call this one")


class LoadTensor(Stream):
    INPUTS: ClassVar[dict[str, Any]] = {"required": {}}


class SaveTensor(Stream):
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"images": ("IMAGE",)}}


class SaveTextTensor(Stream):
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"data": ("STRING",)}}


class Invert(Base):
    def execute(self, image: torch.Tensor) -> tuple[torch.Tensor]:
        return (1.0 - image,)


class Gain(Base):
    INPUTS: ClassVar[dict[str, Any]] = {
        "required": {"image": ("IMAGE",), "gain": ("FLOAT", {})},
        "optional": {"offset": ("FLOAT", {})},
    }

    def execute(self, image: Any, gain: float, offset: float = 0.25) -> dict[str, Any]:
        assert type(gain) is float
        return {"ui": {"gain": [gain]}, "result": (image * gain + offset,)}


class Mix(Base):
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"a": ("IMAGE",), "b": ("IMAGE",)}}

    def execute(self, a: Any, b: Any) -> list[Any]:
        return [(a + b) / 2]


class Split(Base):
    RETURN_TYPES = ("IMAGE", "FLOAT", "STRING")

    def execute(self, image: Any) -> tuple[Any, float, str]:
        mean = float(image.mean())
        return image.flip(1), mean, f"{mean:.3f}"


class Grey(Base):
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"level": ("FLOAT", {})}}

    def execute(self, level: float) -> tuple[torch.Tensor]:
        return (torch.full((1, 4, 6, 3), level),)


CLASSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (LoadTensor, SaveTensor, SaveTextTensor, Invert, Gain, Mix, Split, Grey)
}


def n(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def engine(**more: Any) -> EmbeddedEngine:
    registry = Registry()
    registry.add("test", {**CLASSES, **more}, {})
    return EmbeddedEngine(EngineConfig(), registry)


def load(graph: Graph, **more: Any) -> ResidentGraph:
    return engine(**more).load(parse_prompt(graph))


def around(*middle: str, **nodes: Any) -> Graph:
    """LoadTensor -> ... -> SaveTensor; the last of ``nodes`` goes out."""
    last = list(nodes)[-1] if nodes else "in"
    return {"in": n("LoadTensor"), **nodes, "out": n("SaveTensor", images=[last, 0])}


def frame(seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 4, 6, 3, generator=torch.Generator().manual_seed(seed))
