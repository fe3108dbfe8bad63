"""What a loaded workflow is run on, a frame or a piece of sound, and when two results are equal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

import torch

from workers.engine.protocol import Audio, RunContext
from workers.engine.sound import same_sound

Result = TypeVar("Result")


class Graph(Protocol):
    """Either way of running a workflow; see workers.engine.protocol.LoadedWorkflow."""

    def run(self, image: torch.Tensor, context: RunContext | None = None) -> torch.Tensor: ...

    def hear(self, audio: Audio, context: RunContext | None = None) -> Audio | None: ...


class Turn(Protocol[Result]):
    """``copied``: a node may write into what it is given; ``same``: did both give the same?"""

    name: ClassVar[str]

    def through(self, graph: Graph, context: RunContext) -> Result: ...

    def copied(self) -> Turn[Result]: ...

    def same(self, one: Result, other: Result) -> bool: ...


@dataclass(frozen=True, slots=True)
class FrameTurn:
    image: torch.Tensor
    name: ClassVar[str] = "frame"

    def through(self, graph: Graph, context: RunContext) -> torch.Tensor:
        return graph.run(self.image, context)

    def copied(self) -> FrameTurn:
        return FrameTurn(self.image.clone())

    def same(self, one: torch.Tensor, other: torch.Tensor) -> bool:
        return same(one, other)


@dataclass(frozen=True, slots=True)
class PieceTurn:
    audio: Audio
    name: ClassVar[str] = "piece of sound"

    def through(self, graph: Graph, context: RunContext) -> Audio | None:
        return graph.hear(self.audio, context)

    def copied(self) -> PieceTurn:
        return PieceTurn(copied_sound(self.audio))

    def same(self, one: Audio | None, other: Audio | None) -> bool:
        return one is other if one is None or other is None else same_sound(one, other)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit, but for where they are; NaN is equal to NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    other = other.to(one.device)
    return torch.equal(one, other) or bool(
        torch.equal(one.isnan(), other.isnan())
        and torch.equal(one.nan_to_num(), other.nan_to_num())
    )


def same_texts(one: RunContext, other: RunContext) -> bool:
    """Did the same texts come out beside? Where nothing else comes out, they are the result."""
    return _texts(one) == _texts(other)


def copied_context(context: RunContext) -> RunContext:
    """With sound of its own; ``taken`` is the same object."""
    if context.sound is None:
        return context
    return replace(context, sound=copied_sound(context.sound))


def copied_sound(audio: Audio) -> Audio:
    return {**audio, "waveform": audio["waveform"].clone()}


def _texts(context: RunContext) -> dict[str, Any]:
    found = {i: inputs.get("data") for i, inputs in context.taken.items()}
    return {i: data for i, data in found.items() if isinstance(data, str)}
