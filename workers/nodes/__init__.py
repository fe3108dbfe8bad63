"""The embedded node pack: ComfyUI's light core nodes and ComfyStream's ways in and out.

Same class types, inputs and results as the originals, in ComfyUI's V1 node contract; instances
live as long as a workflow runs and keep their kernels and tables between frames.
"""

from __future__ import annotations

from workers.nodes import (
    batch,
    blend,
    channels,
    colour,
    composite,
    filters,
    geometry,
    io,
    kornia_nodes,
    mask,
    mask_convert,
    morphology,
    primitives,
    scale,
    sound,
    stitch,
)

_NODES: tuple[type, ...] = (
    io.LoadTensor,
    io.SaveTensor,
    io.LoadAudioTensor,
    io.SaveAudioTensor,
    io.SaveTextTensor,
    colour.ImageInvert,
    colour.ImageQuantize,
    scale.ImageScale,
    scale.ImageScaleBy,
    scale.ImageScaleToTotalPixels,
    filters.ImageBlur,
    filters.ImageSharpen,
    filters.ImageAddNoise,
    blend.ImageBlend,
    geometry.ImageCrop,
    geometry.ImageFlip,
    geometry.ImageRotate,
    stitch.ImageStitch,
    batch.ImageBatch,
    batch.ImageFromBatch,
    batch.RepeatImageBatch,
    batch.EmptyImage,
    batch.GetImageSize,
    composite.ImageCompositeMasked,
    composite.MaskComposite,
    channels.SplitImageWithAlpha,
    channels.JoinImageWithAlpha,
    mask.SolidMask,
    mask.InvertMask,
    mask.ThresholdMask,
    mask.CropMask,
    mask.FeatherMask,
    mask_convert.MaskToImage,
    mask_convert.ImageToMask,
    mask_convert.ImageColorToMask,
    morphology.GrowMask,
    morphology.Morphology,
    primitives.PrimitiveInt,
    primitives.PrimitiveFloat,
    primitives.PrimitiveBoolean,
    primitives.PrimitiveString,
    sound.AudioAdjustVolume,
    sound.AudioMerge,
    sound.SplitAudioChannels,
    sound.JoinAudioChannels,
    sound.EmptyAudio,
)
_KORNIA_NODES: tuple[type, ...] = (kornia_nodes.Canny,)


def missing_extras() -> dict[str, str]:
    """Class types that this installation cannot offer -> why, and how to get them."""
    reason = kornia_nodes.kornia_missing()
    return {} if reason is None else {node.__name__: reason for node in _KORNIA_NODES}


NODE_CLASS_MAPPINGS: dict[str, type] = {
    node.__name__: node for node in (*_NODES, *(() if missing_extras() else _KORNIA_NODES))
}

# As ComfyUI shows them; a class type that is not here is shown as it is.
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "LoadTensor": "Load Tensor",
    "SaveTensor": "Save Tensor",
    "LoadAudioTensor": "Load Audio Tensor",
    "SaveAudioTensor": "Save Audio Tensor",
    "SaveTextTensor": "Save Text Tensor",
    "ImageInvert": "Invert Image",
    "ImageQuantize": "Image Quantize",
    "ImageScale": "Upscale Image",
    "ImageScaleBy": "Upscale Image By",
    "ImageScaleToTotalPixels": "Scale Image to Total Pixels",
    "ImageBlur": "Image Blur",
    "ImageSharpen": "Image Sharpen",
    "ImageBlend": "Image Blend",
    "ImageCrop": "Image Crop",
    "ImageStitch": "Image Stitch",
    "ImageBatch": "Batch Images",
    "GetImageSize": "Get Image Size",
    "SplitImageWithAlpha": "Split Image with Alpha",
    "JoinImageWithAlpha": "Join Image with Alpha",
    "MaskToImage": "Convert Mask to Image",
    "ImageToMask": "Convert Image to Mask",
    "Morphology": "ImageMorphology",
    "AudioAdjustVolume": "Audio Adjust Volume",
    "AudioMerge": "Audio Merge",
    "SplitAudioChannels": "Split Audio Channels",
    "JoinAudioChannels": "Join Audio Channels",
    "EmptyAudio": "Empty Audio",
    "PrimitiveInt": "Int",
    "PrimitiveFloat": "Float",
    "PrimitiveBoolean": "Boolean",
    "PrimitiveString": "String",
}
