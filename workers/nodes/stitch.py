"""ImageStitch."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from workers.nodes.channels import opaque
from workers.nodes.contract import InputTypes, check_at_least, check_image, check_option
from workers.nodes.resize import resize

DIRECTIONS = ("right", "down", "left", "up")
COLOURS = ("white", "black", "red", "green", "blue")
_HEIGHT, _WIDTH = 1, 2


def _colour(name: str) -> tuple[float, float, float]:
    if name in ("white", "black"):
        level = 1.0 if name == "white" else 0.0
        return (level, level, level)
    return (float(name == "red"), float(name == "green"), float(name == "blue"))


class ImageStitch:
    """image2 beside image1, on the side ``direction`` says, with a bar between them if wanted.

    ``match_image_size`` scales image2 (lanczos, ratio kept) to the common edge; otherwise the
    shorter edge is centred and filled up. Without image2, image1 as it is.
    """

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "stitch"
    CATEGORY = "image/transform"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image1": ("IMAGE",),
                "direction": (list(DIRECTIONS), {"default": "right"}),
                "match_image_size": ("BOOLEAN", {"default": True}),
                "spacing_width": ("INT", {"default": 0, "min": 0, "max": 1024, "step": 2}),
                "spacing_color": (list(COLOURS), {"default": "white"}),
            },
            "optional": {"image2": ("IMAGE",)},
        }

    def stitch(
        self,
        image1: torch.Tensor,
        direction: str,
        match_image_size: bool,
        spacing_width: int,
        spacing_color: str,
        image2: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor]:
        check_image("image1", image1)
        check_option("direction", direction, DIRECTIONS)
        check_option("spacing_color", spacing_color, COLOURS)
        check_at_least("spacing_width", spacing_width, 0)
        if image2 is None:
            return (image1,)
        check_image("image2", image2)
        image2 = image2.to(image1.device, image1.dtype)

        batch = max(image1.shape[0], image2.shape[0])
        image1, image2 = _last_repeated(image1, batch), _last_repeated(image2, batch)
        along = _WIDTH if direction in ("right", "left") else _HEIGHT
        edge = _HEIGHT if along == _WIDTH else _WIDTH  # the dimension both have in common
        if match_image_size:
            image2 = _scaled_to_edge(image2, image1.shape[edge], edge)
        else:
            fill = 1.0 if spacing_color == "white" else 0.0
            length = max(image1.shape[edge], image2.shape[edge])
            image1 = _centred(image1, length, edge, fill)
            image2 = _centred(image2, length, edge, fill)
        channels = max(image1.shape[-1], image2.shape[-1])
        image1, image2 = opaque(image1, channels), opaque(image2, channels)

        parts = [image1, image2] if direction in ("right", "down") else [image2, image1]
        if spacing_width > 0:
            shape = list(image1.shape)
            shape[along] = spacing_width + spacing_width % 2
            # Alpha is 1; a bar of the colour needs no memory of its own before the cat.
            pixel = image1.new_tensor((*_colour(spacing_color), 1.0))[:channels]
            parts.insert(1, pixel.expand(shape))
        return (torch.cat(parts, dim=along),)


def _last_repeated(image: torch.Tensor, batch: int) -> torch.Tensor:
    missing = batch - image.shape[0]
    if missing == 0:
        return image
    return torch.cat((image, image[-1:].expand(missing, -1, -1, -1)))


def _scaled_to_edge(image: torch.Tensor, length: int, edge: int) -> torch.Tensor:
    ratio = image.shape[_WIDTH] / image.shape[_HEIGHT]
    if edge == _HEIGHT:
        return resize(image, int(length * ratio), length, "lanczos")
    return resize(image, length, int(length / ratio), "lanczos")


def _centred(image: torch.Tensor, length: int, edge: int, fill: float) -> torch.Tensor:
    missing = length - image.shape[edge]
    if missing == 0:
        return image
    before = missing // 2
    after = missing - before
    pads = (0, 0, 0, 0, before, after) if edge == _HEIGHT else (0, 0, before, after)
    return functional.pad(image, pads, value=fill)
