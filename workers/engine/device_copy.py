"""Frames to and from a CUDA device: bytes cross the bus, the arithmetic is done over there.

A third of the traffic of floats, and from page-locked memory, so that the copy up runs beside the
CPU. (With device "cpu" the same code runs without page-locking; the tests use that.)
"""

from __future__ import annotations

import numpy as np
import torch

from workers.engine.buffers import BufferPool
from workers.media.frames import RGB

_SCALE = 1.0 / 255.0


class DeviceCopy:
    """One upload and one download at a time, on the current stream of the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cuda = device.type == "cuda"
        self._pictures = BufferPool(torch.uint8, pin=self._cuda)
        self._staging = torch.empty(0, dtype=torch.uint8)
        self._uploaded: torch.cuda.Event | None = None
        if self._cuda:
            self._uploaded = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def upload(self, rgb: RGB) -> torch.Tensor:
        """uint8 [H, W, 3] -> float32 [1, H, W, 3] on the device, in memory of its own."""
        if self._staging.shape != rgb.shape:
            self._wait_for_staging()
            self._staging = torch.empty(rgb.shape, dtype=torch.uint8, pin_memory=self._cuda)
        else:
            self._wait_for_staging()
        np.copyto(self._staging.numpy(), rgb)
        on_device = self._staging.to(self.device, non_blocking=True)
        if self._uploaded is not None:
            self._uploaded.record(torch.cuda.current_stream(self.device))
        return on_device.to(torch.float32).unsqueeze_(0).mul_(_SCALE)

    def _wait_for_staging(self) -> None:
        """The copy of the frame before may still read the staging buffer."""
        if self._uploaded is not None:
            self._uploaded.synchronize()

    def download(self, picture: torch.Tensor) -> RGB:
        """Float [H, W, 3] on the device -> uint8 [H, W, 3]; waits until it is there."""
        floats = picture.to(torch.float32)
        levels = torch.nan_to_num(floats, nan=0.0).mul_(255.0).add_(0.5).clamp_(0.0, 255.0)
        on_device = levels.to(torch.uint8).contiguous()
        rgb: RGB = self._pictures.take(tuple(picture.shape))
        torch.from_numpy(rgb).copy_(on_device, non_blocking=True)
        if picture.device.type == "cuda":
            torch.cuda.current_stream(picture.device).synchronize()
        return rgb
