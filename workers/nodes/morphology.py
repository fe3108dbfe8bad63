"""Morphology, GrowMask: dilation, erosion and what they are made into."""

from __future__ import annotations

import torch

from workers.nodes.contract import (
    MAX_RESOLUTION,
    InputTypes,
    as_masks,
    check_at_least,
    check_image,
    check_option,
)
from workers.nodes.extremes import Extreme

OPERATIONS = ("erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat")


class Morphology:
    """Flat morphology with a square of ``kernel_size``, each channel for itself.

    ComfyUI takes kornia for this; a running maximum gives the same values without it, and without
    a copy of the picture for every cell of the square.
    """

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "image/postprocessing"

    def __init__(self) -> None:
        self._maximum = Extreme(maximum=True)
        self._minimum = Extreme(maximum=False)

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "operation": (list(OPERATIONS),),
                "kernel_size": ("INT", {"default": 3, "min": 3, "max": 999, "step": 1}),
            }
        }

    def execute(self, image: torch.Tensor, operation: str, kernel_size: int) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_option("operation", operation, OPERATIONS)
        check_at_least("kernel_size", kernel_size, 1)
        return (self._apply(image, operation, kernel_size),)

    def _apply(self, image: torch.Tensor, operation: str, size: int) -> torch.Tensor:
        if operation == "erode":
            return self._erode(image, size)
        if operation == "dilate":
            return self._dilate(image, size)
        if operation in ("open", "top_hat"):
            opened = self._dilate(self._erode(image, size), size)
            return opened if operation == "open" else image - opened
        if operation in ("close", "bottom_hat"):
            closed = self._erode(self._dilate(image, size), size)
            return closed if operation == "close" else closed - image
        return self._dilate(image, size) - self._erode(image, size)

    # An even square has no middle: it reaches one pixel further ahead (kornia's origin), and
    # dilation mirrors it (Minkowski), so that opening and closing shift nothing.

    def _erode(self, image: torch.Tensor, size: int) -> torch.Tensor:
        return _square(self._minimum, image, size // 2, (size - 1) // 2)

    def _dilate(self, image: torch.Tensor, size: int) -> torch.Tensor:
        return _square(self._maximum, image, (size - 1) // 2, size // 2)


def _square(extreme: Extreme, values: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Over rows and columns: dimensions 1 and 2 of an IMAGE and of a MASK alike."""
    return extreme.window(extreme.window(values, before, after, 1), before, after, 2)


class GrowMask:
    """Grows a mask by ``expand`` pixels, or shrinks it when that is negative.

    With ``tapered_corners`` by steps up, down, left and right; without, diagonally too.
    """

    RETURN_TYPES = ("MASK",)
    FUNCTION = "expand_mask"
    CATEGORY = "mask"

    def __init__(self) -> None:
        self._maximum = Extreme(maximum=True)
        self._minimum = Extreme(maximum=False)

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "mask": ("MASK",),
                "expand": (
                    "INT",
                    {"default": 0, "min": -MAX_RESOLUTION, "max": MAX_RESOLUTION, "step": 1},
                ),
                "tapered_corners": ("BOOLEAN", {"default": True}),
            }
        }

    def expand_mask(
        self, mask: torch.Tensor, expand: int, tapered_corners: bool
    ) -> tuple[torch.Tensor]:
        masks = as_masks(mask)
        extreme = self._minimum if expand < 0 else self._maximum
        steps = abs(expand)
        if tapered_corners:
            return (extreme.diamond(masks, steps),)
        return (_square(extreme, masks, steps, steps),)
