"""A node pack of one node: everything that moves leaves a fading trail.

    scripts/launch_pool.sh --nodes examples/nodes/trail.py

and a stream with the workflow examples/nodes/trail.json.
"""

from __future__ import annotations

from typing import Any

import torch


class Trail:
    """The lighter of this frame and the faded one before it."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "examples"

    def __init__(self) -> None:
        # An instance lives as long as its workflow runs, so it can remember.
        self._before: torch.Tensor | None = None

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        length = ("FLOAT", {"default": 0.9, "min": 0.0, "max": 0.99, "step": 0.01})
        return {"required": {"image": ("IMAGE",), "length": length}}

    def run(self, image: torch.Tensor, length: float) -> tuple[torch.Tensor]:
        # Not written to: `image` belongs to the stream. Keeping it is fine.
        before = self._before
        if before is not None and before.shape == image.shape:
            image = torch.maximum(image, before * length)
        self._before = image
        return (image,)


NODE_CLASS_MAPPINGS = {"Trail": Trail}
