"""A stream's ways into and out of a workflow, with ComfyStream's class types and inputs.

The engine supplies what the Load nodes return and takes what the Save nodes are given; it never
calls their functions. Called from anywhere else, they say so.
"""

from __future__ import annotations

import uuid
from typing import Any, NoReturn

from comfytrickle.workflow.sound import MAX_PIECE_MS, MIN_PIECE_MS
from workers.nodes.contract import InputTypes


class OutsideStream(RuntimeError):
    """A Load or Save node was called as if it were an ordinary node."""

    def __init__(self, class_type: str) -> None:
        super().__init__(
            f"{class_type} works only inside a running stream, where the engine handles it"
        )


class _StreamNode:
    """Never cached: each call of IS_CHANGED gives a value that none before was equal to.

    A fresh value, not NaN: a cache that compares by identity first takes the same NaN for equal.
    """

    FUNCTION = "execute"

    @classmethod
    def IS_CHANGED(cls, **kwargs: Any) -> str:
        return uuid.uuid4().hex

    def execute(self, **kwargs: Any) -> NoReturn:
        raise OutsideStream(type(self).__name__)


def _timeout_input() -> tuple[str, dict[str, Any]]:
    return (
        "FLOAT",
        {
            "default": 3.0,
            "min": 0.1,
            "max": 30.0,
            "step": 0.1,
            "tooltip": "Accepted for ComfyStream's workflows; the stream has its own deadlines.",
        },
    )


def _picture_input() -> tuple[str, dict[str, Any]]:
    return (
        "STRING",
        {
            "default": "",
            "tooltip": "The picture that stands for the frame in ComfyUI's editor; not used here.",
        },
    )


class LoadTensor(_StreamNode):
    """The current frame: IMAGE [1, height, width, 3]."""

    RETURN_TYPES = ("IMAGE",)
    CATEGORY = "ComfyStream/Loaders"
    DESCRIPTION = "The stream's current frame."

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        optional = {"image": _picture_input(), "timeout_seconds": _timeout_input()}
        return {"required": {}, "optional": optional}


class SaveTensor(_StreamNode):
    """The stream's output frame: the first picture of the batch."""

    RETURN_TYPES = ()
    CATEGORY = "tensor_utils"
    OUTPUT_NODE = True
    DESCRIPTION = "The picture that leaves the stream."

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"images": ("IMAGE",)}}


class LoadAudioTensor(_StreamNode):
    """``buffer_size`` milliseconds: {"waveform": [1, channels, samples], "sample_rate": Hz}."""

    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    CATEGORY = "ComfyStream/Loaders"
    DESCRIPTION = "The stream's sound, in pieces of a fixed length."

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {
                "buffer_size": (
                    "FLOAT",
                    {
                        "default": 500.0,
                        "min": MIN_PIECE_MS,
                        "max": MAX_PIECE_MS,
                        "tooltip": "Milliseconds of sound.",
                    },
                ),
            },
            "optional": {"timeout_seconds": _timeout_input()},
        }


class SaveAudioTensor(_StreamNode):
    """The stream's output sound."""

    RETURN_TYPES = ()
    CATEGORY = "audio_utils"
    OUTPUT_NODE = True
    DESCRIPTION = "The sound that leaves the stream."

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"audio": ("AUDIO",)}}


class SaveTextTensor(_StreamNode):
    """One line for the stream's data channel; see :func:`text_to_save`."""

    RETURN_TYPES = ()
    CATEGORY = "text_utils"
    OUTPUT_NODE = True
    DESCRIPTION = "A text that leaves the stream on its data channel."

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {
            "required": {"data": ("STRING",)},
            "optional": {"remove_linebreaks": ("BOOLEAN", {"default": True})},
        }


def text_to_save(data: str, remove_linebreaks: bool = True) -> str:
    """What SaveTextTensor's inputs publish: ``data``, by default without CR and LF."""
    return data.replace("\n", "").replace("\r", "") if remove_linebreaks else data
