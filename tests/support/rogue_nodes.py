"""A node pack of nodes that misbehave, as a user might write them. Loaded with --nodes."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

import torch


class _Counting:
    """Lets ``after`` frames through, then does its worst."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        after = ("INT", {"default": 20, "min": 0, "max": 1_000_000})
        return {"required": {"image": ("IMAGE",), "after": after}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "rogue"

    def __init__(self) -> None:
        self.seen = 0

    def run(self, image: Any, after: int) -> tuple[Any]:
        self.seen += 1
        if self.seen > after:
            self.misbehave()
        return (image,)

    def misbehave(self) -> None:
        raise NotImplementedError


class RogueExit(_Counting):
    def misbehave(self) -> None:
        print("rogue: about to leave", flush=True)
        os._exit(37)


class RogueSegfault(_Counting):
    def misbehave(self) -> None:
        ctypes.string_at(1)


class RogueRaise(_Counting):
    """Fails at every fifth frame."""

    def misbehave(self) -> None:
        if self.seen % 5 == 0:
            raise RuntimeError(f"rogue: frame {self.seen} is not to my taste")


class RogueRaiseAlways(_Counting):
    def misbehave(self) -> None:
        raise ValueError("rogue: never again")


class RogueHoard(_Counting):
    """Keeps 32 MB more with every frame."""

    def __init__(self) -> None:
        super().__init__()
        self.hoard: list[Any] = []

    def misbehave(self) -> None:
        self.hoard.append(torch.ones(1 << 23))


class RogueSpoilt(_Counting):
    """Fails with ``error`` for ``count`` frames, in the first worker of a stream that comes to it:
    that one makes the file ``path``."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        inputs = super().INPUT_TYPES()
        inputs["required"] |= {
            "count": ("INT", {"default": 1_000_000, "min": 1, "max": 1_000_000}),
            "error": (["ValueError", "MemoryError"],),
            "path": ("STRING", {}),
        }
        return inputs

    FUNCTION = "run_once"

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    def run_once(self, image: Any, after: int, count: int, error: str, path: str) -> tuple[Any]:
        self.seen += 1
        if self.seen == after + 1 and not Path(path).exists():
            Path(path).touch()
            self.left = count
        if self.left:
            self.left -= 1
            kinds = {"ValueError": ValueError, "MemoryError": MemoryError}
            raise kinds[error](f"rogue: frame {self.seen} of this worker")
        return (image,)


class RogueTell:
    """Says how many frames it has seen, in two lines."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE",), "length": ("INT", {"default": 0})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "rogue"

    def __init__(self) -> None:
        self.seen = 0

    def run(self, image: Any, length: int) -> tuple[str]:
        self.seen += 1
        return (f"frame {self.seen}\n" + '"' * length,)


class RogueSlowLoad:
    """A constant node that is done when a file is there."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"path": ("STRING",)}}

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "run"
    CATEGORY = "rogue"

    def run(self, path: str) -> tuple[float]:
        while not Path(path).exists():
            time.sleep(0.01)
        return (0.0,)


NODE_CLASS_MAPPINGS = {
    cls.__name__: cls
    for cls in (
        RogueExit,
        RogueSegfault,
        RogueRaise,
        RogueRaiseAlways,
        RogueHoard,
        RogueSpoilt,
        RogueSlowLoad,
        RogueTell,
    )
}
NODE_DISPLAY_NAME_MAPPINGS = {"RogueRaise": "Rogue (raises)"}
