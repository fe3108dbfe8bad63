"""ImageCrop, ImageFlip, ImageRotate."""

from __future__ import annotations

import torch

from workers.nodes.contract import (
    InputTypes,
    check_at_least,
    check_image,
    check_option,
    size_input,
)

FLIPS = ("x-axis: vertically", "y-axis: horizontally")
ROTATIONS = ("none", "90 degrees", "180 degrees", "270 degrees")


class ImageCrop:
    """The rectangle at x, y; at the edge it is smaller. A view of the picture."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "crop"
    CATEGORY = "image/transform"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "width": size_input(512, 1),
                "height": size_input(512, 1),
                "x": size_input(0, 0),
                "y": size_input(0, 0),
            }
        }

    def crop(
        self, image: torch.Tensor, width: int, height: int, x: int, y: int
    ) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_at_least("width", width, 1)
        check_at_least("height", height, 1)
        check_at_least("x", x, 0)
        check_at_least("y", y, 0)
        x = min(x, image.shape[2] - 1)
        y = min(y, image.shape[1] - 1)
        return (image[:, y : y + height, x : x + width],)


class ImageFlip:
    """Upside down (about the x axis), or left to right (about the y axis)."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "flip"
    CATEGORY = "image/transform"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": ("IMAGE",), "flip_method": (list(FLIPS),)}}

    def flip(self, image: torch.Tensor, flip_method: str) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_option("flip_method", flip_method, FLIPS)
        return (image.flip(1 if flip_method == FLIPS[0] else 2),)


class ImageRotate:
    """Clockwise, by quarter turns."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "rotate"
    CATEGORY = "image/transform"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": ("IMAGE",), "rotation": (list(ROTATIONS),)}}

    def rotate(self, image: torch.Tensor, rotation: str) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_option("rotation", rotation, ROTATIONS)
        turns = ROTATIONS.index(rotation)
        return (torch.rot90(image, turns, dims=(2, 1)) if turns else image,)
