"""Alpha: matching channel counts, SplitImageWithAlpha, JoinImageWithAlpha.

ComfyUI's MASK is 1 where an alpha channel is 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from workers.nodes.contract import InputTypes, as_masks, check_image


def opaque(image: torch.Tensor, channels: int) -> torch.Tensor:
    """``image`` with channels of 1.0 appended up to ``channels``; itself when it has as many."""
    missing = channels - image.shape[-1]
    return functional.pad(image, (0, missing), value=1.0) if missing > 0 else image


def match_channels(image: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``image`` with as many channels as ``like``: alpha cut off, or an opaque one added."""
    return opaque(image[..., : like.shape[-1]], like.shape[-1])


def resize_masks(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """[batch, ``height``, ``width``], bilinear; without a copy when it has that size."""
    masks = as_masks(mask)
    if masks.shape[-2:] == (height, width):
        return masks
    planes = functional.interpolate(masks.unsqueeze(1), size=(height, width), mode="bilinear")
    return planes.squeeze(1)


class SplitImageWithAlpha:
    """The colours, and the alpha as a mask (empty when there is no alpha)."""

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "execute"
    CATEGORY = "mask/compositing"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": ("IMAGE",)}}

    def execute(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        check_image("image", image)
        if image.shape[-1] > 3:
            return image[..., :3], 1.0 - image[..., 3]
        return image, image.new_zeros(image.shape[:3])


class JoinImageWithAlpha:
    """The colours with ``alpha``, a mask of any size, as the fourth channel."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "mask/compositing"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": ("IMAGE",), "alpha": ("MASK",)}}

    def execute(self, image: torch.Tensor, alpha: torch.Tensor) -> tuple[torch.Tensor]:
        check_image("image", image, channels=3)
        masks = resize_masks(alpha.to(image.device, image.dtype), image.shape[1], image.shape[2])
        count = min(image.shape[0], masks.shape[0])
        # Half the time of a cat along so short a last dimension.
        out = image.new_empty((count, *image.shape[1:3], 4))
        out[..., :3] = image[:count, ..., :3]
        torch.sub(1.0, masks[:count], out=out[..., 3])
        return (out,)
