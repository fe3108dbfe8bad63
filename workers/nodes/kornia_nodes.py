"""Canny. It needs kornia, an optional extra that is imported when the node is instantiated."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import torch

from workers.nodes.contract import InputTypes, check_image


def kornia_missing() -> str | None:
    """Why these nodes are not offered; None when they are. Does not import kornia."""
    if find_spec("kornia") is not None:
        return None
    return "needs kornia, which is not installed: pip install 'comfytrickle[kornia]'"


class Canny:
    """Edges, white on black, by John Canny's detector (two thresholds with hysteresis)."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "image/preprocessors"

    def __init__(self) -> None:
        # Seconds of import belong to the loading of a workflow, not to its first frame.
        self._canny = importlib.import_module("kornia.filters").canny

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        def threshold(default: float) -> tuple[str, dict[str, float]]:
            return ("FLOAT", {"default": default, "min": 0.01, "max": 0.99, "step": 0.01})

        return {
            "required": {
                "image": ("IMAGE",),
                "low_threshold": threshold(0.4),
                "high_threshold": threshold(0.8),
            }
        }

    def execute(
        self, image: torch.Tensor, low_threshold: float, high_threshold: float
    ) -> tuple[torch.Tensor]:
        check_image("image", image, channels=3)
        if low_threshold > high_threshold:
            raise ValueError(
                f"low_threshold ({low_threshold}) must not be greater than "
                f"high_threshold ({high_threshold})"
            )
        _, edges = self._canny(image[..., :3].movedim(-1, 1), low_threshold, high_threshold)
        return (edges.movedim(1, -1).expand(-1, -1, -1, 3),)
