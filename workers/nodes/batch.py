"""ImageBatch, ImageFromBatch, RepeatImageBatch, EmptyImage, GetImageSize."""

from __future__ import annotations

import torch

from workers.nodes.contract import InputTypes, check_at_least, check_image, size_input
from workers.nodes.resize import resize


class ImageBatch:
    """Two batches one after the other; image2 gets image1's size (bilinear, cut in the middle)."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "batch"
    CATEGORY = "image"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image1": ("IMAGE",), "image2": ("IMAGE",)}}

    def batch(self, image1: torch.Tensor, image2: torch.Tensor) -> tuple[torch.Tensor]:
        check_image("image1", image1)
        check_image("image2", image2)
        if image1.shape[-1] != image2.shape[-1]:
            raise ValueError(
                f"ImageBatch: image1 has {image1.shape[-1]} channels, image2 {image2.shape[-1]}"
            )
        image2 = image2.to(image1.device, image1.dtype)
        image2 = resize(image2, image1.shape[2], image1.shape[1], "bilinear", "center")
        return (torch.cat((image1, image2)),)


class ImageFromBatch:
    """``length`` pictures from ``batch_index`` on, as many as there are. A view of the batch."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "frombatch"
    CATEGORY = "image/batch"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "batch_index": ("INT", {"default": 0, "min": 0, "max": 4095}),
                "length": ("INT", {"default": 1, "min": 1, "max": 4096}),
            }
        }

    def frombatch(self, image: torch.Tensor, batch_index: int, length: int) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_at_least("batch_index", batch_index, 0)
        check_at_least("length", length, 1)
        first = min(batch_index, image.shape[0] - 1)
        return (image[first : first + length],)


class RepeatImageBatch:
    """The batch ``amount`` times over."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "repeat"
    CATEGORY = "image/batch"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "amount": ("INT", {"default": 1, "min": 1, "max": 4096}),
            }
        }

    def repeat(self, image: torch.Tensor, amount: int) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_at_least("amount", amount, 1)
        return (image if amount == 1 else image.repeat(amount, 1, 1, 1),)


class EmptyImage:
    """``batch_size`` pictures of one colour (0xRRGGBB), on torch's default device."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "generate"
    CATEGORY = "image"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "width": size_input(512, 1),
                "height": size_input(512, 1),
                "batch_size": ("INT", {"default": 1, "min": 1, "max": 4096}),
                "color": (
                    "INT",
                    {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"},
                ),
            }
        }

    def generate(
        self, width: int, height: int, batch_size: int = 1, color: int = 0
    ) -> tuple[torch.Tensor]:
        check_at_least("width", width, 1)
        check_at_least("height", height, 1)
        check_at_least("batch_size", batch_size, 1)
        pixel = torch.tensor([((color >> shift) & 0xFF) / 0xFF for shift in (16, 8, 0)])
        return (pixel.repeat(batch_size, height, width, 1),)


class GetImageSize:
    """Width, height and batch size, as numbers."""

    RETURN_TYPES = ("INT", "INT", "INT")
    RETURN_NAMES = ("width", "height", "batch_size")
    FUNCTION = "get_size"
    CATEGORY = "image"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": ("IMAGE",)}}

    def get_size(self, image: torch.Tensor) -> tuple[int, int, int]:
        check_image("image", image)
        return image.shape[2], image.shape[1], image.shape[0]
