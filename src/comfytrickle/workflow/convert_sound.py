"""A workflow for sound files made into a live one. The counterpart of convert.py for sound.

Only where the workflow has nothing to do with pictures: none comes in and none goes out. There, a
lone LoadAudio is where the stream's sound comes in, when there is no LoadAudioTensor. Where
nothing else would come out, the sound leaves by the one node that saves it, without that by the one
PreviewAudio. Two of the same rank are an error, never a guess.
"""

from __future__ import annotations

from comfytrickle.errors import NodeError
from comfytrickle.workflow.choice import ambiguous, of_types
from comfytrickle.workflow.model import (
    LOAD_AUDIO_TENSOR,
    SAVE_AUDIO_TENSOR,
    SAVE_TEXT_TENSOR,
    Node,
)
from comfytrickle.workflow.sound import DEFAULT_PIECE_MS

LOAD_AUDIO = "LoadAudio"
_SAVES = ("SaveAudio", "SaveAudioMP3", "SaveAudioOpus")
_PREVIEWS = ("PreviewAudio",)
SOUND_OUTPUTS = (*_SAVES, *_PREVIEWS)


def convert_sound(nodes: dict[str, Node], converted: list[str], errors: list[NodeError]) -> None:
    """Changes ``nodes``, of which none may be one for pictures, and says so in ``converted``."""
    _input(nodes, converted, errors)
    hears = bool(of_types(nodes, LOAD_AUDIO_TENSOR))
    if hears and not of_types(nodes, SAVE_AUDIO_TENSOR, SAVE_TEXT_TENSOR):
        _output(nodes, converted, errors)


def _input(nodes: dict[str, Node], converted: list[str], errors: list[NodeError]) -> None:
    found = of_types(nodes, LOAD_AUDIO)
    if not found or of_types(nodes, LOAD_AUDIO_TENSOR):
        return
    if len(found) > 1:
        what = f"several {LOAD_AUDIO} nodes and no {LOAD_AUDIO_TENSOR}"
        where = f"sound goes in (make that one a {LOAD_AUDIO_TENSOR})"
        errors += ambiguous("ambiguous_inputs", what, found, where)
        return
    (node,) = found
    inputs = {"buffer_size": DEFAULT_PIECE_MS}
    nodes[node.id] = Node(node.id, LOAD_AUDIO_TENSOR, inputs, node.title)
    converted.append(f"{node.id}: {LOAD_AUDIO} -> {LOAD_AUDIO_TENSOR} ({DEFAULT_PIECE_MS:g} ms)")


def _output(nodes: dict[str, Node], converted: list[str], errors: list[NodeError]) -> None:
    found = of_types(nodes, *_SAVES) or of_types(nodes, *_PREVIEWS)
    if not found:
        return
    if len(found) > 1:
        what = f"several nodes save sound and there is no {SAVE_AUDIO_TENSOR}"
        where = f"sound comes out (make that one a {SAVE_AUDIO_TENSOR})"
        errors += ambiguous("multiple_outputs", what, found, where)
        return
    (node,) = found
    inputs = {name: value for name, value in node.inputs.items() if name == "audio"}
    nodes[node.id] = Node(node.id, SAVE_AUDIO_TENSOR, inputs, node.title)
    converted.append(f"{node.id}: {node.class_type} -> {SAVE_AUDIO_TENSOR}")
