"""What every node of the pack shares: limits, option names, checks of what arrives over links.

The engine checks literal inputs against ``INPUT_TYPES``; a value that comes over a link is only
known when the frame runs, so nodes check for themselves what they could not work with.

IMAGE is float [batch, height, width, channels], nominally 0..1. MASK is float [batch, height,
width]. No node writes into a tensor it was given: the stream or another node may still hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

InputTypes = dict[str, Any]

MAX_RESOLUTION = 16384  # ComfyUI's limit of any width or height
UPSCALE_METHODS = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")
CROP_METHODS = ("disabled", "center")


def size_input(default: int, least: int) -> tuple[str, dict[str, int]]:
    """An INT input in pixels, ``least``..16384."""
    return ("INT", {"default": default, "min": least, "max": MAX_RESOLUTION, "step": 1})


def check_option(name: str, value: str, options: Sequence[str]) -> None:
    """Raise ValueError when ``value`` is none of ``options``."""
    if value not in options:
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(options)}")


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError when ``value`` is less than ``least``."""
    if value < least:
        raise ValueError(f"{name} is {value}, but must be at least {least}")


def check_image(name: str, image: torch.Tensor, channels: int = 1) -> None:
    """Raise ValueError unless ``image`` is [batch, height, width, at least ``channels``]."""
    if image.ndim != 4 or image.shape[-1] < channels:
        raise ValueError(
            f"{name} must be [batch, height, width, channels] with at least {channels} "
            f"channel(s), not {list(image.shape)}"
        )


def as_masks(mask: torch.Tensor) -> torch.Tensor:
    """[height, width] or [..., height, width] as [batch, height, width], without a copy."""
    if mask.ndim < 2:
        raise ValueError(f"a mask must be [batch, height, width], not {list(mask.shape)}")
    return mask.reshape(-1, mask.shape[-2], mask.shape[-1])


def to_batch(tensor: torch.Tensor, size: int) -> torch.Tensor:
    """Exactly ``size`` items: cut, or repeated from the first on."""
    have = tensor.shape[0]
    if have >= size:
        return tensor[:size]
    return tensor.repeat(-(-size // have), *(1 for _ in tensor.shape[1:]))[:size]
