"""Scaling of [batch, height, width, channels] pictures, by the five methods ComfyUI offers."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image

from workers.nodes.contract import CROP_METHODS, UPSCALE_METHODS, check_image, check_option


def resize(
    image: torch.Tensor, width: int, height: int, method: str, crop: str = "disabled"
) -> torch.Tensor:
    """``image`` at ``width`` x ``height``; ``crop`` "center" cuts to the new ratio first.

    Returns the input (or a view of it) when nothing has to be computed. Raises ValueError.
    """
    check_image("image", image)
    check_option("upscale_method", method, UPSCALE_METHODS)
    check_option("crop", crop, CROP_METHODS)
    if width < 1 or height < 1:
        raise ValueError(f"cannot scale a picture to {width}x{height}")
    if crop == "center":
        image = _centre_cut(image, width, height)
    same = image.shape[1] == height and image.shape[2] == width
    if method == "lanczos":
        return to_8_bit_steps(image) if same else _lanczos(image, width, height)
    if same:
        return image
    planes = image.movedim(-1, 1)
    return functional.interpolate(planes, size=(height, width), mode=method).movedim(1, -1)


def _centre_cut(image: torch.Tensor, width: int, height: int) -> torch.Tensor:
    old_height, old_width = image.shape[1], image.shape[2]
    old, new = old_width / old_height, width / height
    x = y = 0
    if old > new:
        x = round((old_width - old_width * (new / old)) / 2)
    elif old < new:
        y = round((old_height - old_height * (old / new)) / 2)
    return image[:, y : old_height - y, x : old_width - x]


def to_bytes(image: torch.Tensor) -> torch.Tensor:
    """uint8, truncated (0.999 is 254) and clamped, as ComfyUI hands pictures to Pillow."""
    return image.mul(255.0).clamp_(0, 255).to(torch.uint8)


def to_8_bit_steps(image: torch.Tensor) -> torch.Tensor:
    """What a picture is after a way through Pillow that changed nothing else."""
    return image.mul(255.0).clamp_(0, 255).trunc_().div_(255.0)


def from_pictures(pictures: list[Image.Image], like: torch.Tensor) -> torch.Tensor:
    """Pillow pictures of one size and mode as an IMAGE with the device and dtype of ``like``."""
    pixels = torch.from_numpy(np.stack([np.array(picture) for picture in pictures]))
    if pixels.ndim == 3:  # mode L
        pixels = pixels.unsqueeze(-1)
    return pixels.to(like.device).to(like.dtype).div_(255.0)


def _lanczos(image: torch.Tensor, width: int, height: int) -> torch.Tensor:
    pixels = to_bytes(image).cpu().numpy()
    if pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    pictures = [
        Image.fromarray(one).resize((width, height), resample=Image.Resampling.LANCZOS)
        for one in pixels
    ]
    return from_pictures(pictures, image)
