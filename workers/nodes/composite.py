"""ImageCompositeMasked, MaskComposite: one picture, or mask, laid over another."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from workers.nodes.channels import match_channels, resize_masks
from workers.nodes.contract import (
    InputTypes,
    as_masks,
    check_image,
    check_option,
    size_input,
    to_batch,
)
from workers.nodes.resize import resize

OPERATIONS = ("multiply", "add", "subtract", "and", "or", "xor")


@dataclass(frozen=True, slots=True)
class Overlap:
    """Where a source laid at x, y meets its destination, in each one's own coordinates."""

    there: tuple[slice, slice]  # rows, columns of the destination
    here: tuple[slice, slice]  # rows, columns of the source

    @staticmethod
    def of(destination: tuple[int, int], source: tuple[int, int], x: int, y: int) -> Overlap | None:
        """Sizes are (height, width). None: they do not meet."""
        rows = _meet(destination[0], source[0], y)
        columns = _meet(destination[1], source[1], x)
        if rows is None or columns is None:
            return None
        return Overlap((rows[0], columns[0]), (rows[1], columns[1]))


def _meet(destination: int, source: int, offset: int) -> tuple[slice, slice] | None:
    first, last = max(0, offset), min(destination, offset + source)
    if first >= last:
        return None
    return slice(first, last), slice(first - offset, last - offset)


class ImageCompositeMasked:
    """``source`` over ``destination`` at x, y, through ``mask`` (any size; 1 shows the source)."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "composite"
    CATEGORY = "image"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "destination": ("IMAGE",),
                "source": ("IMAGE",),
                "x": size_input(0, 0),
                "y": size_input(0, 0),
                "resize_source": ("BOOLEAN", {"default": False}),
            },
            "optional": {"mask": ("MASK",)},
        }

    def composite(
        self,
        destination: torch.Tensor,
        source: torch.Tensor,
        x: int,
        y: int,
        resize_source: bool,
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor]:
        check_image("destination", destination)
        check_image("source", source)
        batch, height, width = destination.shape[:3]
        source = match_channels(source.to(destination.device, destination.dtype), destination)
        if resize_source:
            source = resize(source, width, height, "bilinear")
        source = to_batch(source, batch)

        out = destination.clone()
        overlap = Overlap.of((height, width), (source.shape[1], source.shape[2]), x, y)
        if overlap is None:
            return (out,)
        target = out[:, overlap.there[0], overlap.there[1]]
        visible = source[:, overlap.here[0], overlap.here[1]]
        if mask is None:
            target.copy_(visible)
            return (out,)
        masks = mask.to(destination.device, destination.dtype)
        masks = to_batch(resize_masks(masks, source.shape[1], source.shape[2]), batch)
        weights = masks[:, overlap.here[0], overlap.here[1], None].expand_as(visible)
        # Copied out first: a weight with stride 0 along the channels takes three times as long.
        target.lerp_(visible, weights.contiguous())
        return (out,)


class MaskComposite:
    """Combines ``source`` with ``destination`` where they meet; clamped to 0..1.

    The logical operations round to 0 or 1 first.
    """

    RETURN_TYPES = ("MASK",)
    FUNCTION = "combine"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "destination": ("MASK",),
                "source": ("MASK",),
                "x": size_input(0, 0),
                "y": size_input(0, 0),
                "operation": (list(OPERATIONS),),
            }
        }

    def combine(
        self, destination: torch.Tensor, source: torch.Tensor, x: int, y: int, operation: str
    ) -> tuple[torch.Tensor]:
        check_option("operation", operation, OPERATIONS)
        out = as_masks(destination).clamp(0.0, 1.0)  # a new tensor, as it has to be in the end
        over = as_masks(source).to(out.device, out.dtype)
        if over.shape[0] not in (1, out.shape[0]):
            raise ValueError(
                f"MaskComposite: {over.shape[0]} source masks do not fit {out.shape[0]} others"
            )
        height, width = out.shape[1], out.shape[2]
        overlap = Overlap.of((height, width), (over.shape[1], over.shape[2]), x, y)
        if overlap is not None:
            before = as_masks(destination)[:, overlap.there[0], overlap.there[1]]
            visible = over[:, overlap.here[0], overlap.here[1]]
            combined = _combined(before, visible, operation)
            out[:, overlap.there[0], overlap.there[1]] = combined.clamp_(0.0, 1.0)
        return (out,)


def _combined(a: torch.Tensor, b: torch.Tensor, operation: str) -> torch.Tensor:
    if operation == "multiply":
        return a * b
    if operation == "add":
        return a + b
    if operation == "subtract":
        return a - b
    set_a, set_b = a.round().bool(), b.round().bool()
    if operation == "and":
        return (set_a & set_b).to(a.dtype)
    if operation == "or":
        return (set_a | set_b).to(a.dtype)
    return (set_a ^ set_b).to(a.dtype)
