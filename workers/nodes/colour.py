"""ImageInvert, ImageQuantize."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from workers.nodes.contract import InputTypes, check_image, check_option
from workers.nodes.resize import from_pictures, to_bytes

DITHERS = ("none", "floyd-steinberg", "bayer-2", "bayer-4", "bayer-8", "bayer-16")


class ImageInvert:
    """1 - x, of every channel."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "invert"
    CATEGORY = "image"

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"image": ("IMAGE",)}}

    def invert(self, image: torch.Tensor) -> tuple[torch.Tensor]:
        return (1.0 - image,)


def bayer_thresholds(order: int) -> npt.NDArray[np.float32]:
    """The ``order`` x ``order`` ordered-dither matrix, about -0.5..0.5; order is a power of two."""
    matrix = np.zeros((1, 1), np.float32)
    while matrix.shape[0] < order:
        size = 2 * matrix.shape[0]
        # ComfyUI's recursion: each level tiles the one before and adds a 2x2 pattern, in quarters
        # of the pattern, weighted by the number of its cells.
        corners = np.array([[-1.5, 0.5], [1.5, -0.5]], np.float32) / size**2
        matrix = np.tile(matrix, (2, 2)) + np.repeat(np.repeat(corners, size // 2, 0), size // 2, 1)
    return matrix


class ImageQuantize:
    """At most ``colors`` colours, chosen for every frame anew (Pillow's median cut)."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "image/postprocessing"

    def __init__(self) -> None:
        self._tiled_for: tuple[int, int, int] | None = None
        self._tiled: npt.NDArray[np.float32] = np.empty((0, 0, 1), np.float32)

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "image": ("IMAGE",),
                "colors": ("INT", {"default": 256, "min": 1, "max": 256, "step": 1}),
                "dither": (list(DITHERS),),
            }
        }

    def execute(self, image: torch.Tensor, colors: int, dither: str) -> tuple[torch.Tensor]:
        check_image("image", image)
        check_option("dither", dither, DITHERS)
        if image.shape[-1] != 3:
            raise ValueError(f"ImageQuantize needs 3 channels, not {image.shape[-1]}")
        if not 1 <= colors <= 256:
            raise ValueError(f"colors is {colors}, but must be 1..256")
        frames = to_bytes(image).cpu().numpy()
        return (from_pictures([self._quantize(one, colors, dither) for one in frames], image),)

    def _quantize(self, pixels: npt.NDArray[np.uint8], colors: int, dither: str) -> Image.Image:
        picture = Image.fromarray(pixels)
        # A dither, and the nearest colour of the whole palette, come with a palette given only.
        palette = picture.quantize(colors=colors)
        if dither.startswith("bayer-"):
            count = len(palette.getpalette() or []) // 3
            spread = np.float32(2 * 256 / count)
            thresholds = self._tile(int(dither.removeprefix("bayer-")), *pixels.shape[:2])
            shifted = pixels + (thresholds * spread + np.float32(0.5))
            picture = Image.fromarray(shifted.clip(0, 255).astype(np.uint8))
        method = Image.Dither.FLOYDSTEINBERG if dither == "floyd-steinberg" else Image.Dither.NONE
        return picture.quantize(palette=palette, dither=method).convert("RGB")

    def _tile(self, order: int, height: int, width: int) -> npt.NDArray[np.float32]:
        if self._tiled_for != (order, height, width):
            repeats = (-(-height // order), -(-width // order))
            tiled = np.tile(bayer_thresholds(order), repeats)[:height, :width]
            self._tiled = np.ascontiguousarray(tiled)[..., None]
            self._tiled_for = (order, height, width)
        return self._tiled
