"""SolidMask, InvertMask, ThresholdMask, CropMask, FeatherMask."""

from __future__ import annotations

import torch

from workers.nodes.contract import InputTypes, as_masks, check_at_least, size_input


class SolidMask:
    """A mask of one value, on torch's default device."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "solid"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "value": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
                "width": size_input(512, 1),
                "height": size_input(512, 1),
            }
        }

    def solid(self, value: float, width: int, height: int) -> tuple[torch.Tensor]:
        check_at_least("width", width, 1)
        check_at_least("height", height, 1)
        return (torch.full((1, height, width), value, dtype=torch.float32),)


class InvertMask:
    RETURN_TYPES = ("MASK",)
    FUNCTION = "invert"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"mask": ("MASK",)}}

    def invert(self, mask: torch.Tensor) -> tuple[torch.Tensor]:
        return (1.0 - mask,)


class ThresholdMask:
    """1 where the mask is greater than ``value``, else 0."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "image_to_mask"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "mask": ("MASK",),
                "value": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
            }
        }

    def image_to_mask(self, mask: torch.Tensor, value: float) -> tuple[torch.Tensor]:
        return ((mask > value).to(torch.float32),)


class CropMask:
    """The rectangle at x, y; at the edge it is smaller. A view of the mask."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "crop"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "mask": ("MASK",),
                "x": size_input(0, 0),
                "y": size_input(0, 0),
                "width": size_input(512, 1),
                "height": size_input(512, 1),
            }
        }

    def crop(
        self, mask: torch.Tensor, x: int, y: int, width: int, height: int
    ) -> tuple[torch.Tensor]:
        masks = as_masks(mask)
        if not (0 <= x < masks.shape[2] and 0 <= y < masks.shape[1]):
            raise ValueError(
                f"CropMask: {x},{y} is outside the mask ({masks.shape[2]}x{masks.shape[1]})"
            )
        check_at_least("width", width, 1)
        check_at_least("height", height, 1)
        return (masks[:, y : y + height, x : x + width],)


class FeatherMask:
    """Fades the mask's edges out, linearly, over so many pixels."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "feather"
    CATEGORY = "mask"

    def __init__(self) -> None:
        self._made_for: tuple[object, ...] = ()
        self._rates = torch.empty(0)

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "mask": ("MASK",),
                "left": size_input(0, 0),
                "top": size_input(0, 0),
                "right": size_input(0, 0),
                "bottom": size_input(0, 0),
            }
        }

    def feather(
        self, mask: torch.Tensor, left: int, top: int, right: int, bottom: int
    ) -> tuple[torch.Tensor]:
        for name, value in (("left", left), ("top", top), ("right", right), ("bottom", bottom)):
            check_at_least(name, value, 0)
        masks = as_masks(mask)
        wanted = (left, top, right, bottom, masks.shape[1:], masks.device, masks.dtype)
        if self._made_for != wanted:
            columns = _edge_rates(masks.shape[2], left, right)
            rows = _edge_rates(masks.shape[1], top, bottom)
            rates = rows[:, None] * columns[None, :]
            self._rates = rates.to(masks.device, masks.dtype)
            self._made_for = wanted
        return (masks * self._rates,)


def _edge_rates(length: int, start: int, end: int) -> torch.Tensor:
    """[length] factors. The far ramp is ComfyUI's own: it counts positions from the end starting
    at 0, which is the *first* position, so the outermost one gets the ramp's second step.
    """
    rates = torch.ones(length, dtype=torch.float64)
    start, end = min(start, length), min(end, length)
    for i in range(start):
        rates[i] *= (i + 1) / start
    for i in range(end):
        rates[-i] *= (i + 1) / end
    return rates
