"""The Gaussian of ImageBlur and ImageSharpen, as two one-dimensional passes.

ComfyUI's kernel spans -1..1 over its 2r+1 taps, whatever r is, so sigma is relative to the radius.
exp(-(x²+y²)/2s²) is a product of a row and a column: 2(2r+1) multiplications a sample do for
(2r+1)², and the fewer roundings leave it within 3e-7 of the exact value (the full sum: 3e-6).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional


def gaussian_weights(radius: int, sigma: float) -> list[float]:
    """2 * ``radius`` + 1 weights with sum 1; ``radius`` at least 1, ``sigma`` greater than 0."""
    taps = [math.exp(-((i / radius) ** 2) / (2.0 * sigma**2)) for i in range(-radius, radius + 1)]
    total = sum(taps)
    return [tap / total for tap in taps]


class GaussianBlur:
    """Blurs IMAGE tensors; keeps the weights of the last radius and sigma."""

    def __init__(self) -> None:
        self._settings: tuple[int, float] | None = None
        self._weights: list[float] = []
        self._kernel: torch.Tensor | None = None  # [1, 1, taps, 1], for the convolution

    def __call__(self, image: torch.Tensor, radius: int, sigma: float) -> torch.Tensor:
        """A new tensor of ``image``'s shape, edges reflected.

        Raises ValueError when a side is not longer than ``radius`` or the settings make no kernel.
        """
        if radius < 1:
            raise ValueError(f"the radius is {radius}, but must be at least 1")
        if sigma <= 0:
            raise ValueError(f"sigma is {sigma}, but must be greater than 0")
        height, width = image.shape[1], image.shape[2]
        if min(height, width) <= radius:
            raise ValueError(
                f"a radius of {radius} needs a picture of more than {radius} pixels each way, "
                f"but this one is {width}x{height}"
            )
        if self._settings != (radius, sigma):
            self._weights = gaussian_weights(radius, sigma)
            self._kernel = None
            self._settings = (radius, sigma)
        if image.device.type == "cpu":
            return _add_shifted(
                _add_shifted(image.contiguous(), self._weights, 1), self._weights, 2
            )
        return self._convolve(image)

    def _convolve(self, image: torch.Tensor) -> torch.Tensor:
        """Two depthwise convolutions: few launches, which is what counts on a GPU."""
        kernel = self._kernel
        if kernel is None or kernel.device != image.device or kernel.dtype != image.dtype:
            kernel = torch.tensor(self._weights, device=image.device, dtype=image.dtype)
            kernel = self._kernel = kernel.view(1, 1, -1, 1)
        radius, channels = len(self._weights) // 2, image.shape[-1]
        column = kernel.expand(channels, 1, -1, 1)
        planes = functional.pad(image.movedim(-1, 1), (radius,) * 4, mode="reflect")
        planes = functional.conv2d(planes, column, groups=channels)
        planes = functional.conv2d(planes, column.transpose(2, 3), groups=channels)
        return planes.movedim(1, -1)


def _add_shifted(image: torch.Tensor, weights: list[float], dim: int) -> torch.Tensor:
    """One pass along ``dim`` as a sum of shifted copies: on a CPU the fastest way measured."""
    radius, length = len(weights) // 2, image.shape[dim]
    padded = torch.cat(
        (
            image.narrow(dim, 1, radius).flip(dim),
            image,
            image.narrow(dim, length - radius - 1, radius).flip(dim),
        ),
        dim,
    )
    out = image * weights[radius]
    for i in range(radius):
        out.add_(padded.narrow(dim, i, length), alpha=weights[i])
        out.add_(padded.narrow(dim, 2 * radius - i, length), alpha=weights[i])
    return out
