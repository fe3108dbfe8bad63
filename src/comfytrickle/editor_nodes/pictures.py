"""The frame: a picture that stands for it on the way in, a preview on the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from PIL import Image, ImageOps

from .declared import CATEGORY, preview_file, timeout_input


class LoadTensor:
    """A picture of ComfyUI's input folder as IMAGE [1, height, width, 3], float32, 0..1.

    ``image`` is a required input because the editor gives its upload button to no other; in a
    stream it means nothing and may be missing.
    """

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = CATEGORY
    DESCRIPTION = "The stream's current frame. Here in the editor: the picture you choose."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        folder = Path(folder_paths.get_input_directory())
        files = [file.name for file in folder.iterdir() if file.is_file()]
        pictures = sorted(folder_paths.filter_files_content_types(files, ["image"]))
        return {
            "required": {
                "image": (
                    pictures,
                    {"image_upload": True, "tooltip": "Stands for the frame in the editor."},
                )
            },
            "optional": {"timeout_seconds": timeout_input()},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, image: str) -> bool | str:
        """The name alone: a picture that was uploaded just now is not in the list yet."""
        if folder_paths.exists_annotated_filepath(image):
            return True
        return f"there is no picture {image!r}; choose or upload one"

    @classmethod
    def IS_CHANGED(cls, image: str, **kwargs: Any) -> str:
        """A picture may be uploaded again under its old name."""
        found = Path(folder_paths.get_annotated_filepath(image)).stat()
        return f"{found.st_mtime_ns} {found.st_size}"

    def execute(self, image: str, timeout_seconds: float = 1.0) -> tuple[torch.Tensor]:
        with Image.open(folder_paths.get_annotated_filepath(image)) as file:
            upright = ImageOps.exif_transpose(file).convert("RGB")
        pixels = np.asarray(upright, dtype=np.float32) / 255.0
        return (torch.from_numpy(pixels)[None],)


class SaveTensor:
    """Shows what would leave the stream; IMAGE [batch, height, width, 1, 3 or 4]."""

    RETURN_TYPES = ()
    FUNCTION = "execute"
    CATEGORY = CATEGORY
    OUTPUT_NODE = True
    DESCRIPTION = "The picture that leaves the stream. Here in the editor: a preview of it."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE",)}}

    def execute(self, images: torch.Tensor) -> dict[str, Any]:
        shown = []
        for picture in images:
            path, entry = preview_file("png")
            pixels = (picture.float() * 255.0).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
            if pixels.shape[2] == 1:
                pixels = pixels[..., 0]
            Image.fromarray(pixels).save(path, compress_level=1)
            shown.append(entry)
        return {"ui": {"images": shown}}
