"""A workflow divided into what runs for each frame and what runs for each piece of sound. Pure.

- The *sound part*: outputs that depend on the sound and not on the frame, with their ancestors.
- The *picture part*: all other outputs and theirs. It may read the sound too, the latest piece.

A node in both is built twice, and each of the two keeps its own state. That no sound is made of the
picture, the shape of a workflow has made sure of (comfytrickle.workflow.sound).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from comfytrickle.workflow.graph import ancestors
from comfytrickle.workflow.model import LOAD_AUDIO_TENSOR, LOAD_TENSOR, Workflow, sources_of
from comfytrickle.workflow.part import part_of
from comfytrickle.workflow.sound import piece_s


@dataclass(frozen=True, slots=True)
class Split:
    """``piece_s``: seconds of sound that the parts want at a time; 0.0: neither reads sound."""

    picture: Workflow | None
    sound: Workflow | None
    piece_s: float


def split(workflow: Workflow, output_nodes: Collection[str]) -> Split:
    """``output_nodes``: ids of the nodes whose class says OUTPUT_NODE.

    Without a LoadAudioTensor the workflow is its own picture part, the very same object. Without a
    SaveTensor there is no picture part.
    """
    if not workflow.reads_sound:
        return Split(workflow, None, 0.0)
    ends = [i for i in workflow.order if i in workflow.output_ids or i in output_nodes]
    picture = [i for i in ends if _is_for_pictures(workflow, i)]
    sound = [i for i in ends if i not in picture]
    parts = [part_of(workflow, part) if part else None for part in (picture, sound)]
    return Split(
        parts[0],
        parts[1],
        max(piece_s(part.nodes.values()) if part is not None else 0.0 for part in parts),
    )


def _is_for_pictures(workflow: Workflow, end: str) -> bool:
    if workflow.frame_output is None:
        return False
    behind = ancestors([end], sources_of(workflow.nodes, workflow.links))
    types = {workflow.nodes[i].class_type for i in behind}
    only_sound = LOAD_AUDIO_TENSOR in types and LOAD_TENSOR not in types
    return end == workflow.frame_output or not only_sound
