"""A text that leaves the stream on its data channel."""

from __future__ import annotations

from typing import Any

from .declared import CATEGORY


class SaveTextTensor:
    """Shows the line that would leave; by default without CR and LF, as in a stream."""

    RETURN_TYPES = ()
    FUNCTION = "execute"
    CATEGORY = CATEGORY
    OUTPUT_NODE = True
    DESCRIPTION = "A text that leaves the stream on its data channel. Here in the editor: shown."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"data": ("STRING", {"forceInput": True})},
            "optional": {"remove_linebreaks": ("BOOLEAN", {"default": True})},
        }

    def execute(self, data: str, remove_linebreaks: bool = True) -> dict[str, Any]:
        text = data.replace("\n", "").replace("\r", "") if remove_linebreaks else data
        return {"ui": {"text": [text]}}
