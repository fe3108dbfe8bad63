"""The stream's Load and Save nodes as ComfyUI's executor calls them, and its folded constants.

The classes are made for one loaded workflow and hold its frame and its sound, so that two
workflows, loaded side by side, never see each other's. Each has a class_type of its own among the
workspace's nodes.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import torch

from comfytrickle.workflow.model import (
    LOAD_AUDIO_TENSOR,
    LOAD_TENSOR,
    SAVE_AUDIO_TENSOR,
    SAVE_TENSOR,
    SAVE_TEXT_TENSOR,
)
from workers.engine.protocol import Audio
from workers.nodes import io

_CONSTANT = "ComfytrickleConstant"
_KEEP = "ComfytrickleKeep"
_MOST_OUTPUTS = 256  # of one node
_BOUND = "COMFYTRICKLE_BOUND"


class Passage:
    """What goes through one loaded workflow just now. Filled and emptied by who runs it."""

    def __init__(self) -> None:
        self.frame: torch.Tensor | None = None
        self.sound: Audio | None = None
        self.saved: dict[str, Any] = {}  # SaveTensor, SaveAudioTensor -> what reached it first
        self.taken: dict[str, dict[str, Any]] = {}  # id of another Save node -> its inputs
        # node id -> its outputs; each a list of values, as ComfyUI passes them on
        self.constants: dict[str, list[Any]] = {}
        self.kept: dict[tuple[str, int], list[Any]] = {}  # (node id, output) -> values

    def clear(self) -> None:
        """Forget the frame, the sound and all that came of them."""
        self.frame = None
        self.sound = None
        self.saved = {}
        self.taken = {}
        self.kept = {}


class StreamNodes:
    """The classes bound to one passage, as long as they are registered."""

    def __init__(self, mappings: MutableMapping[str, Any], passage: Passage) -> None:
        self._mappings = mappings
        self._names: dict[str, str] = {}
        for class_type, cls in _bound_classes(passage).items():
            setattr(cls, _BOUND, True)
            self._names[class_type] = _claim(mappings, class_type, cls)
        self.constant = self._names[_CONSTANT]
        self.keep = self._names[_KEEP]

    def name(self, class_type: str) -> str:
        """Under which class_type the executor finds the bound class; others are what they are."""
        return self._names.get(class_type, class_type)

    def original(self, class_type: str) -> str:
        return next((own for own, name in self._names.items() if name == class_type), class_type)

    def close(self) -> None:
        for name in self._names.values():
            self._mappings.pop(name, None)


def is_bound(cls: Any) -> bool:
    """Is it one of these, and no node for people?"""
    return hasattr(cls, _BOUND)


def _claim(mappings: MutableMapping[str, Any], class_type: str, cls: type) -> str:
    """The first free name. (ComfyUI remembers things by name, so they are used again.)"""
    number = 1
    while mappings.setdefault(name := f"{class_type}:{number}", cls) is not cls:
        number += 1
    return name


def _bound_classes(passage: Passage) -> dict[str, type]:
    """By the class_type whose place they take."""

    class Load(io.LoadTensor):
        def execute(self, **kwargs: Any) -> tuple[Any, ...]:  # type: ignore[override]
            return (passage.frame,)

    class Save(io.SaveTensor):
        def execute(self, images: Any, **kwargs: Any) -> tuple[()]:  # type: ignore[override]
            passage.saved.setdefault(SAVE_TENSOR, images)
            return ()

    class LoadSound(io.LoadAudioTensor):
        def execute(self, **kwargs: Any) -> tuple[Any, ...]:  # type: ignore[override]
            return (passage.sound,)

    class SaveSound(io.SaveAudioTensor):
        def execute(self, audio: Any, **kwargs: Any) -> tuple[()]:  # type: ignore[override]
            passage.saved.setdefault(SAVE_AUDIO_TENSOR, audio)
            return ()

    class SaveText(io.SaveTextTensor):
        """Leaves its inputs for the engine's caller."""

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {**super().INPUT_TYPES(), "hidden": {"own_id": "UNIQUE_ID"}}

        def execute(self, own_id: str, **inputs: Any) -> tuple[()]:  # type: ignore[override]
            passage.taken[own_id] = inputs
            return ()

    class Constant:
        """A node of the workflow whose outputs are known already."""

        RETURN_TYPES = ("*",) * _MOST_OUTPUTS
        OUTPUT_IS_LIST = (True,) * _MOST_OUTPUTS
        FUNCTION = "execute"
        CATEGORY = "comfytrickle"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"node": ("STRING",)}}

        def execute(self, node: str) -> tuple[Any, ...]:
            return tuple(passage.constants[node])

    class Keep:
        """Takes one output of a node, as the list that ComfyUI makes of it."""

        RETURN_TYPES = ()
        INPUT_IS_LIST = True
        OUTPUT_NODE = True
        FUNCTION = "execute"
        CATEGORY = "comfytrickle"

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"value": ("*",), "node": ("STRING",), "output": ("INT",)}}

        def execute(self, value: list[Any], node: list[str], output: list[int]) -> tuple[()]:
            passage.kept[node[0], output[0]] = list(value)
            return ()

    return {
        LOAD_TENSOR: Load,
        SAVE_TENSOR: Save,
        LOAD_AUDIO_TENSOR: LoadSound,
        SAVE_AUDIO_TENSOR: SaveSound,
        SAVE_TEXT_TENSOR: SaveText,
        _CONSTANT: Constant,
        _KEEP: Keep,
    }
