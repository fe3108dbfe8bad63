"""The stream's nodes for ComfyUI's editor, so that a live workflow can be drawn and tried there.

``comfytrickle install-nodes`` copies this folder to ComfyUI's custom_nodes. It needs nothing of
comfytrickle: ComfyUI's folder_paths, torch, numpy and Pillow. In the editor LoadTensor gives a
picture that was chosen and SaveTensor shows what arrives; in a stream the engine takes the place of
both, with the same names and inputs.
"""

from __future__ import annotations

from typing import Any

from .pictures import LoadTensor, SaveTensor
from .sound import LoadAudioTensor, SaveAudioTensor
from .text import SaveTextTensor

NODE_CLASS_MAPPINGS: dict[str, Any] = {
    "LoadTensor": LoadTensor,
    "SaveTensor": SaveTensor,
    "LoadAudioTensor": LoadAudioTensor,
    "SaveAudioTensor": SaveAudioTensor,
    "SaveTextTensor": SaveTextTensor,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "LoadTensor": "Load Tensor (stream's frame in)",
    "SaveTensor": "Save Tensor (stream's frame out)",
    "LoadAudioTensor": "Load Audio Tensor (stream's sound in)",
    "SaveAudioTensor": "Save Audio Tensor (stream's sound out)",
    "SaveTextTensor": "Save Text Tensor (stream's text out)",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
