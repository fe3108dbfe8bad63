"""ImageBlend."""

from __future__ import annotations

import torch

from workers.nodes.channels import match_channels
from workers.nodes.contract import InputTypes, check_image, check_option
from workers.nodes.resize import resize

MODES = ("normal", "multiply", "screen", "overlay", "soft_light", "difference")


class ImageBlend:
    """image1 with ``blend_factor`` of its mixture with image2; clamped to 0..1.

    image2 is brought to image1's size (bicubic, cut in the middle).
    """

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "image/postprocessing"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image1": ("IMAGE",),
                "image2": ("IMAGE",),
                "blend_factor": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
                "blend_mode": (list(MODES),),
            }
        }

    def execute(
        self, image1: torch.Tensor, image2: torch.Tensor, blend_factor: float, blend_mode: str
    ) -> tuple[torch.Tensor]:
        check_image("image1", image1)
        check_image("image2", image2)
        check_option("blend_mode", blend_mode, MODES)
        image2 = match_channels(image2.to(image1.device, image1.dtype), image1)
        image2 = resize(image2, image1.shape[2], image1.shape[1], "bicubic", "center")
        batch = max(image1.shape[0], image2.shape[0])  # one picture goes with every one of a batch
        image1, image2 = _of_batch(image1, batch), _of_batch(image2, batch)
        mixed = _mix(image1, image2, blend_mode)
        return (torch.lerp(image1, mixed, blend_factor).clamp_(0.0, 1.0),)


def _of_batch(image: torch.Tensor, batch: int) -> torch.Tensor:
    if image.shape[0] not in (1, batch):
        raise ValueError(f"batches of {image.shape[0]} and {batch} pictures cannot be blended")
    return image.expand(batch, -1, -1, -1)


def _mix(a: torch.Tensor, b: torch.Tensor, mode: str) -> torch.Tensor:
    if mode == "normal":
        return b
    if mode == "multiply":
        return a * b
    if mode == "screen":  # 1 - (1-a)(1-b)
        return (a + b).sub_(a * b)
    if mode == "difference":
        return a - b  # signed: what is below 0 after the mixing is clamped
    # Where a formula has two halves, clamping its argument to each half and adding what comes out
    # takes half the time of computing both and choosing, or less.
    if mode == "overlay":  # multiplies b with 2a up to a = 0.5, screens it with 2a - 1 beyond
        doubled = a * 2.0
        lights = (doubled - 1.0).clamp_(min=0.0)
        shade = doubled.clamp_(max=1.0).mul_(b)
        return (1.0 - shade).mul_(lights).add_(shade)
    # soft light (W3C Compositing and Blending): a + (2b-1) * {a(1-a) up to b = 0.5 | g(a)-a beyond}
    push = (b * 2.0).sub_(1.0)
    darken = (1.0 - a).mul_(a).mul_(push.clamp(max=0.0))
    lighten = _soft_curve(a).sub_(a).mul_(push.clamp_(min=0.0))
    return lighten.add_(darken).add_(a)


def _soft_curve(a: torch.Tensor) -> torch.Tensor:
    """g: ((16a - 12)a + 4)a up to a = 0.25, where it is 0.5, and the square root beyond."""
    low = a.clamp(max=0.25)
    cubic = (low * 16.0).sub_(12.0).mul_(low).add_(4.0).mul_(low)
    return a.clamp(min=0.25).sqrt_().add_(cubic).sub_(0.5)
