"""When a node misbehaves: at a frame, at a word from outside, while it is built or loaded.

Before it does, it writes the moment (time.monotonic()) to the file ``stamp``, if it has one.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import torch

from comfytrickle.testsrc import counter

from .deeds import DEEDS, Deed

_TEXT = ("STRING", {"default": ""})


def _note(stamp: str) -> None:
    if stamp:
        with Path(stamp).open("a") as file:
            file.write(f"{time.monotonic()}\n")


class Misbehave:
    """Passes pictures through; does ``deed`` from the frame after ``after`` on.

    With ``at_counter`` at that picture of the source alone, in every worker that meets it.
    With ``trigger``, the path of a file, it waits for that file, deletes it, and does it once:
    of all workers that a stream ever has, one.
    """

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        after = ("INT", {"default": 0, "min": 0, "max": 1_000_000})
        return {
            "required": {"image": ("IMAGE",), "deed": (sorted(DEEDS),)},
            "optional": {
                "after": after,
                "at_counter": ("INT", {"default": -1}),
                "trigger": _TEXT,
                "stamp": _TEXT,
                "level": ("FLOAT",),
            },
        }

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "misbehaving"

    def __init__(self) -> None:
        self._seen = 0

    def run(
        self,
        image: Any,
        deed: str,
        after: int = 0,
        at_counter: int = -1,
        trigger: str = "",
        stamp: str = "",
        level: float = 0.0,
    ) -> tuple[Any]:
        self._seen += 1
        poison = at_counter < 0 or _counter_in(image) == at_counter
        if poison and self._seen > after and _is_told(trigger):
            _note(stamp)
            DEEDS[deed]()
        return (image,)


def _counter_in(image: Any) -> int | None:
    """Of the test pattern in ``image``, float [1, H, W, 3]."""
    return counter.read((image[0].mean(dim=2) * 255).to(torch.uint8).numpy())


def _is_told(trigger: str) -> bool:
    if not trigger:
        return True
    try:
        Path(trigger).unlink()
    except FileNotFoundError:
        return False
    return True


class MisbehaveConstant:
    """The same in a node that does not depend on the frame: it runs once, at load."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"deed": (sorted(DEEDS),)},
            "optional": {"trigger": _TEXT, "stamp": _TEXT},
        }

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "run"
    CATEGORY = "misbehaving"

    def run(self, deed: str, trigger: str = "", stamp: str = "") -> tuple[float]:
        if _is_told(trigger):
            _note(stamp)
            DEEDS[deed]()
        return (0.0,)


class _PassThrough:
    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE",)}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "misbehaving"

    def run(self, image: Any) -> tuple[Any]:
        return (image,)


class CannotBeBuilt(_PassThrough):
    def __init__(self) -> None:
        raise Deed("misbehaving: I will not be built")


class NeverBuilt(_PassThrough):
    def __init__(self) -> None:
        threading.Event().wait()


NODE_CLASS_MAPPINGS = {
    cls.__name__: cls for cls in (Misbehave, MisbehaveConstant, CannotBeBuilt, NeverBuilt)
}
