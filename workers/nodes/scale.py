"""ImageScale, ImageScaleBy, ImageScaleToTotalPixels."""

from __future__ import annotations

import math

import torch

from workers.nodes.contract import (
    CROP_METHODS,
    UPSCALE_METHODS,
    InputTypes,
    check_at_least,
    check_image,
    size_input,
)
from workers.nodes.resize import resize


class ImageScale:
    """To a given size. One side 0 keeps the ratio; both 0 leave the picture as it is."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "upscale"
    CATEGORY = "image/upscaling"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "upscale_method": (list(UPSCALE_METHODS),),
                "width": size_input(512, 0),
                "height": size_input(512, 0),
                "crop": (list(CROP_METHODS),),
            }
        }

    def upscale(
        self, image: torch.Tensor, upscale_method: str, width: int, height: int, crop: str
    ) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_at_least("width", width, 0)
        check_at_least("height", height, 0)
        if width == 0 and height == 0:
            return (image,)
        if width == 0:
            width = max(1, round(image.shape[2] * height / image.shape[1]))
        elif height == 0:
            height = max(1, round(image.shape[1] * width / image.shape[2]))
        return (resize(image, width, height, upscale_method, crop),)


class ImageScaleBy:
    """By a factor of both sides."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "upscale"
    CATEGORY = "image/upscaling"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "upscale_method": (list(UPSCALE_METHODS),),
                "scale_by": ("FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0, "step": 0.01}),
            }
        }

    def upscale(
        self, image: torch.Tensor, upscale_method: str, scale_by: float
    ) -> tuple[torch.Tensor]:
        check_image("image", image)
        width = round(image.shape[2] * scale_by)
        height = round(image.shape[1] * scale_by)
        return (resize(image, width, height, upscale_method),)


class ImageScaleToTotalPixels:
    """To about ``megapixels`` x 1024 x 1024 pixels, sides in multiples of ``resolution_steps``."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "image/upscaling"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "upscale_method": (list(UPSCALE_METHODS),),
                "megapixels": ("FLOAT", {"default": 1.0, "min": 0.01, "max": 16.0, "step": 0.01}),
            },
            # ComfyUI 0.10 made it required; workflows saved before do not have it.
            "optional": {
                "resolution_steps": ("INT", {"default": 1, "min": 1, "max": 256}),
            },
        }

    def execute(
        self,
        image: torch.Tensor,
        upscale_method: str,
        megapixels: float,
        resolution_steps: int = 1,
    ) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_at_least("resolution_steps", resolution_steps, 1)
        if megapixels <= 0:
            raise ValueError(f"megapixels is {megapixels}, but must be greater than 0")
        height, width = image.shape[1], image.shape[2]
        factor = math.sqrt(megapixels * 1024 * 1024 / (width * height))

        def side(length: int) -> int:
            steps = round(length * factor / resolution_steps)
            return max(1, steps) * resolution_steps

        return (resize(image, side(width), side(height), upscale_method),)
