"""MaskToImage, ImageToMask, ImageColorToMask."""

from __future__ import annotations

import torch

from workers.nodes.contract import InputTypes, as_masks, check_image, check_option

CHANNELS = ("red", "green", "blue", "alpha")


class MaskToImage:
    """A mask as a grey picture. A view: the three channels are one in memory."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "mask_to_image"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"mask": ("MASK",)}}

    def mask_to_image(self, mask: torch.Tensor) -> tuple[torch.Tensor]:
        return (as_masks(mask).unsqueeze(-1).expand(-1, -1, -1, 3),)


class ImageToMask:
    """One channel of a picture. A view of it."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "image_to_mask"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": ("IMAGE",), "channel": (list(CHANNELS),)}}

    def image_to_mask(self, image: torch.Tensor, channel: str) -> tuple[torch.Tensor]:
        check_option("channel", channel, CHANNELS)
        check_image("image", image)
        index = CHANNELS.index(channel)
        if index >= image.shape[-1]:
            raise ValueError(f"the picture has {image.shape[-1]} channels and no {channel} one")
        return (image[..., index],)


class ImageColorToMask:
    """1 where the picture has exactly this colour (0xRRGGBB, 8 bits a channel), else 0."""

    RETURN_TYPES = ("MASK",)
    FUNCTION = "image_to_mask"
    CATEGORY = "mask"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "color": (
                    "INT",
                    {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"},
                ),
            }
        }

    def image_to_mask(self, image: torch.Tensor, color: int) -> tuple[torch.Tensor]:
        check_image("image", image, channels=3)
        levels = image[..., :3].clamp(0.0, 1.0).mul_(255.0).round_()
        red, green, blue = levels.unbind(-1)
        same = red == (color >> 16)
        same &= green == ((color >> 8) & 0xFF)
        same &= blue == (color & 0xFF)
        return (same.to(torch.float32),)
