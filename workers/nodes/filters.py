"""ImageBlur, ImageSharpen, ImageAddNoise."""

from __future__ import annotations

import torch

from workers.nodes.contract import InputTypes, check_image
from workers.nodes.gaussian import GaussianBlur


class ImageBlur:
    """Gaussian blur. ``sigma`` is relative to ``blur_radius``."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "image/postprocessing"

    def __init__(self) -> None:
        self._blur = GaussianBlur()

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "blur_radius": ("INT", {"default": 1, "min": 1, "max": 31, "step": 1}),
                "sigma": ("FLOAT", {"default": 1.0, "min": 0.1, "max": 10.0, "step": 0.1}),
            }
        }

    def execute(self, image: torch.Tensor, blur_radius: int, sigma: float) -> tuple[torch.Tensor]:
        check_image("image", image)
        if blur_radius == 0:
            return (image,)
        return (self._blur(image, blur_radius, sigma),)


class ImageSharpen:
    """Adds ``alpha`` x 10 times what a Gaussian blur would take away; clamped to 0..1."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "image/postprocessing"

    def __init__(self) -> None:
        self._blur = GaussianBlur()

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "sharpen_radius": ("INT", {"default": 1, "min": 1, "max": 31, "step": 1}),
                "sigma": ("FLOAT", {"default": 1.0, "min": 0.1, "max": 10.0, "step": 0.01}),
                "alpha": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 5.0, "step": 0.01}),
            }
        }

    def execute(
        self, image: torch.Tensor, sharpen_radius: int, sigma: float, alpha: float
    ) -> tuple[torch.Tensor]:
        check_image("image", image)
        if sharpen_radius == 0:
            return (image,)
        blurred = self._blur(image, sharpen_radius, sigma)
        # One kernel, -10 alpha times the Gaussian with its centre raised to a sum of 1, is this:
        detail = torch.sub(image, blurred, out=blurred)
        return (detail.mul_(10.0 * alpha).add_(image).clamp_(0.0, 1.0),)


class ImageAddNoise:
    """Adds Gaussian noise of deviation ``strength``; the same for every frame of one size."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "repeat"
    CATEGORY = "image"

    def __init__(self) -> None:
        self._made_for: tuple[object, ...] = ()
        self._noise = torch.empty(0)

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "seed": (
                    "INT",
                    {
                        "default": 0,
                        "min": 0,
                        "max": 0xFFFFFFFFFFFFFFFF,
                        "control_after_generate": True,
                        "tooltip": "Chooses the noise.",
                    },
                ),
                "strength": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
            }
        }

    def repeat(self, image: torch.Tensor, seed: int, strength: float) -> tuple[torch.Tensor]:
        check_image("image", image)
        wanted = (seed, strength, image.shape, image.device, image.dtype)
        if self._made_for != wanted:
            # On the CPU whatever the device, as ComfyUI does: the noise of a seed is the same
            # everywhere. A generator of our own leaves torch's global one alone.
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(image.shape, generator=generator, device="cpu")
            self._noise = noise.to(image.device, image.dtype).mul_(strength)
            self._made_for = wanted
        return ((image + self._noise).clamp_(0.0, 1.0),)
