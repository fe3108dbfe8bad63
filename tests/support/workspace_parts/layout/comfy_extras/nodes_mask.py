import torch


class _Mask:
    FUNCTION = "run"
    CATEGORY = "mask"


class SolidMask(_Mask):
    RETURN_TYPES = ("MASK",)

    @classmethod
    def INPUT_TYPES(cls):
        size = ("INT", {"default": 512, "min": 1, "max": 16384})
        value = ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0})
        return {"required": {"value": value, "width": size, "height": size}}

    def run(self, value, width, height):
        return (torch.full((1, height, width), value),)


class MaskToImage(_Mask):
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"mask": ("MASK",)}}

    def run(self, mask):
        return (mask[..., None].expand(-1, -1, -1, 3),)


class ImageToMask(_Mask):
    RETURN_TYPES = ("MASK",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "channel": (["red", "green", "blue"],)}}

    def run(self, image, channel):
        return (image[..., ("red", "green", "blue").index(channel)],)


NODE_CLASS_MAPPINGS = {kind.__name__: kind for kind in (SolidMask, MaskToImage, ImageToMask)}
