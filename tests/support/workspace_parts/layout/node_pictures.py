"""A few of ComfyUI's core nodes: their names and inputs, in words of our own."""
# ruff: noqa: RUF012

from pathlib import Path

import comfy.utils
import folder_paths
import numpy as np
import torch
from PIL import Image

MAX = 16384


def _size(default=512, least=0):
    return ("INT", {"default": default, "min": least, "max": MAX, "step": 1})


class _Picture:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "image"
    INPUTS = {"image": ("IMAGE",)}

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": dict(cls.INPUTS)}


class ImageInvert(_Picture):
    def run(self, image):
        return (1.0 - image,)


class ImageScale(_Picture):
    INPUTS = {
        "image": ("IMAGE",),
        "upscale_method": (["nearest-exact", "bilinear", "area", "bicubic"],),
        "width": _size(),
        "height": _size(),
        "crop": (["disabled", "center"],),
    }

    def run(self, image, upscale_method, width, height, crop):
        rows = image.movedim(-1, 1)
        return (
            comfy.utils.common_upscale(rows, width, height, upscale_method, crop).movedim(1, -1),
        )


class ImageBatch(_Picture):
    INPUTS = {"image1": ("IMAGE",), "image2": ("IMAGE",)}

    def run(self, image1, image2):
        return (torch.cat((image1, image2)),)


class EmptyImage(_Picture):
    INPUTS = {
        "width": _size(least=1),
        "height": _size(least=1),
        "batch_size": ("INT", {"default": 1, "min": 1, "max": 4096}),
        "color": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFF}),
    }

    def run(self, width, height, batch_size=1, color=0):
        rgb = torch.tensor([(color >> shift & 255) / 255 for shift in (16, 8, 0)])
        return (rgb.expand(batch_size, height, width, 3).clone(),)


class ImageBlend(_Picture):
    INPUTS = {
        "image1": ("IMAGE",),
        "image2": ("IMAGE",),
        "blend_factor": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
        "blend_mode": (["normal", "multiply"],),
    }

    def run(self, image1, image2, blend_factor, blend_mode):
        mixed = image1 * image2 if blend_mode == "multiply" else image2
        return ((image1 * (1 - blend_factor) + mixed * blend_factor).clamp(0, 1),)


class LoadImage(_Picture):
    RETURN_TYPES = ("IMAGE", "MASK")

    @classmethod
    def INPUT_TYPES(cls):
        files = [file.name for file in Path(folder_paths.get_input_directory()).glob("*.png")]
        return {"required": {"image": (sorted(files), {"image_upload": True})}}

    def run(self, image):
        with Image.open(folder_paths.get_annotated_filepath(image)) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
        return torch.from_numpy(pixels)[None], torch.zeros(1, 64, 64)

    @classmethod
    def IS_CHANGED(cls, image):
        return Path(folder_paths.get_annotated_filepath(image)).stat().st_mtime_ns

    @classmethod
    def VALIDATE_INPUTS(cls, image):
        return folder_paths.exists_annotated_filepath(image) or f"Invalid image file: {image}"


class PreviewImage(_Picture):
    RETURN_TYPES = ()
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        hidden = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
        return {"required": {"images": ("IMAGE",)}, "hidden": hidden}

    def run(self, images, prompt=None, extra_pnginfo=None):
        return {"ui": {"images": [{"shape": list(images.shape)}]}}


class CheckpointLoaderSimple(_Picture):
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"ckpt_name": (folder_paths.get_filename_list("checkpoints"),)}}

    def run(self, ckpt_name):
        raise NotImplementedError("there are no models here")


CLASSES = {
    kind.__name__: kind
    for kind in (
        ImageInvert,
        ImageScale,
        ImageBatch,
        EmptyImage,
        ImageBlend,
        LoadImage,
        PreviewImage,
        CheckpointLoaderSimple,
    )
}
