"""Workflows as people export them, made into live ones; and one frame in, one frame out.

- A primary input is a LoadTensor or a PrimaryInputLoadImage; there must be exactly one. Where
  there is none, a lone LoadImage is taken for it.
- Images loaded from files also give a mask. A video frame has no alpha, and for an image without
  alpha ComfyUI's LoadImage gives a black mask of 64x64: a SolidMask takes that place.
- The stream's sound comes in by LoadAudioTensor nodes. With one of these, a workflow may do without
  a frame input (its picture is made of the sound), or without both the frame's input and output (it
  is all about sound, and a LoadImage is a picture). Without any picture nodes, those for sound
  files are made into the stream's (convert_sound).
- The output is the one SaveTensor; without it the one SaveImage; without it the one
  PreviewImage. Two of the same rank are an error, never a guess. The lower ranks, and ComfyUI's
  other nodes that show or save what a frame becomes, are left out: each would write a file, or a
  text, for every frame. So are, beside a LoadAudioTensor, those that write sound.
"""

from __future__ import annotations

from typing import Any

from comfytrickle.errors import NodeError
from comfytrickle.workflow.choice import ambiguous, of_types
from comfytrickle.workflow.convert_sound import SOUND_OUTPUTS, convert_sound
from comfytrickle.workflow.model import (
    LOAD_AUDIO_TENSOR,
    LOAD_TENSOR,
    SAVE_AUDIO_TENSOR,
    SAVE_TENSOR,
    SAVE_TEXT_TENSOR,
    Node,
)

PRIMARY_INPUT = "PrimaryInputLoadImage"
LOAD_IMAGE = "LoadImage"
_OUTPUT_RANKS = (SAVE_TENSOR, "SaveImage", "PreviewImage")
_PICTURES = (LOAD_TENSOR, PRIMARY_INPUT, LOAD_IMAGE, *_OUTPUT_RANKS)
# ComfyUI's own, which have no outputs.
_SIDE_OUTPUTS = (
    "MaskPreview",
    "PreviewAny",
    "SaveAnimatedPNG",
    "SaveAnimatedWEBP",
    "SaveImageWebsocket",
    "SaveLatent",
    "SaveVideo",
    "SaveWEBM",
)
_MASK_SIZE = 64


def convert(
    nodes: dict[str, Node], complete: bool
) -> tuple[dict[str, Node], list[str], list[NodeError]]:
    """``(nodes, converted, errors)``. ``complete`` is False when some nodes could not be read: a
    missing input or output is then not reported, since it may be among them."""
    converted: list[str] = []
    errors: list[NodeError] = []
    nodes = dict(nodes)
    if complete and not of_types(nodes, *_PICTURES):
        convert_sound(nodes, converted, errors)
        if errors:
            return nodes, converted, errors
    _convert_input(nodes, complete, converted, errors)
    _convert_output(nodes, complete, converted, errors)
    return nodes, converted, errors


def _convert_input(
    nodes: dict[str, Node], complete: bool, converted: list[str], errors: list[NodeError]
) -> None:
    hears = bool(of_types(nodes, LOAD_AUDIO_TENSOR))
    found = of_types(nodes, LOAD_TENSOR, PRIMARY_INPUT)
    if len(found) > 1:
        errors.extend(
            ambiguous("multiple_inputs", "more than one primary input", found, "frame goes in")
        )
        return
    if not found and hears and not of_types(nodes, *_OUTPUT_RANKS):
        return
    if not found:
        found = of_types(nodes, LOAD_IMAGE)
        if len(found) > 1:
            errors.extend(
                ambiguous(
                    "ambiguous_inputs",
                    "several LoadImage nodes and no primary input",
                    found,
                    f"frame goes in (make that one a {LOAD_TENSOR})",
                )
            )
            return
    if not found:
        if complete and not hears:
            errors.append(
                NodeError(
                    "no_input",
                    f"the workflow has no {LOAD_TENSOR} (nor a {PRIMARY_INPUT} or a LoadImage "
                    f"that could stand for it) and no {LOAD_AUDIO_TENSOR}: neither frames nor "
                    "sound can go in",
                )
            )
        return
    node = found[0]
    if node.class_type != LOAD_TENSOR:
        nodes[node.id] = Node(node.id, LOAD_TENSOR, {}, node.title)
        converted.append(f"{node.id}: {node.class_type} -> {LOAD_TENSOR}")
        _give_mask(nodes, node, converted)


def _give_mask(nodes: dict[str, Node], image: Node, converted: list[str]) -> None:
    """Lead the links to the second output of what was a LoadImage to a black mask."""
    users = [
        (node, name)
        for node in nodes.values()
        for name, value in node.inputs.items()
        if isinstance(value, list)
        and len(value) == 2
        and [str(value[0]), value[1]] == [image.id, 1]
    ]
    if not users:
        return
    mask_id = f"{image.id}.mask"
    while mask_id in nodes:
        mask_id += "_"
    size = {"width": _MASK_SIZE, "height": _MASK_SIZE}
    nodes[mask_id] = Node(mask_id, "SolidMask", {"value": 0.0, **size}, None)
    for node, name in users:
        current = nodes[node.id]
        inputs: dict[str, Any] = {**current.inputs, name: [mask_id, 0]}
        nodes[node.id] = Node(current.id, current.class_type, inputs, current.title)
    converted.append(f"{image.id}: the mask of {image.class_type} -> SolidMask {mask_id} (black)")


def _convert_output(
    nodes: dict[str, Node], complete: bool, converted: list[str], errors: list[NodeError]
) -> None:
    ranked = [(name, of_types(nodes, name)) for name in _OUTPUT_RANKS]
    present = [(name, found) for name, found in ranked if found]
    hears = bool(of_types(nodes, LOAD_AUDIO_TENSOR))
    if hears:
        _leave_out(nodes, SOUND_OUTPUTS, "it would write every piece of sound", converted)
    if not present:
        if hears:
            _leave_out(nodes, _SIDE_OUTPUTS, "it would show every piece of sound", converted)
        if complete:
            errors.extend(_no_output(nodes, hears))
        return
    best, found = present[0]
    if len(found) > 1:
        message = f"more than one {best}"
        errors.extend(ambiguous("multiple_outputs", message, found, "frame comes out"))
        return
    output = found[0]
    if best != SAVE_TENSOR:
        inputs = {name: value for name, value in output.inputs.items() if name == "images"}
        nodes[output.id] = Node(output.id, SAVE_TENSOR, inputs, output.title)
        converted.append(f"{output.id}: {best} -> {SAVE_TENSOR}")
    lower = [name for name, _ in present[1:]]
    why = f"the stream goes out through {output.id}"
    _leave_out(nodes, (*lower, *_SIDE_OUTPUTS), why, converted)


def _leave_out(
    nodes: dict[str, Node], names: tuple[str, ...], why: str, converted: list[str]
) -> None:
    for other in of_types(nodes, *names):
        del nodes[other.id]
        converted.append(f"{other.id}: {other.class_type} left out, {why}")


def _no_output(nodes: dict[str, Node], hears: bool) -> list[NodeError]:
    """Of a workflow without an output for pictures, which only one for sound may be."""
    what = f"{SAVE_TENSOR} (nor a SaveImage or a PreviewImage that could stand for it)"
    if not hears:
        return [NodeError("no_output", f"the workflow has no {what}: no frame can come out")]
    frames = of_types(nodes, LOAD_TENSOR)
    if frames:
        message = f"a frame goes in here, but none comes out: there is no {what}"
        return [NodeError("no_output", message, frames[0].id, LOAD_TENSOR)]
    if of_types(nodes, SAVE_AUDIO_TENSOR, SAVE_TEXT_TENSOR):
        return []
    message = (
        f"the workflow has no {SAVE_AUDIO_TENSOR}, {SAVE_TEXT_TENSOR} or {SAVE_TENSOR}: nothing "
        "can come out"
    )
    return [NodeError("no_output", message)]
