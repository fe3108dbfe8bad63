"""What a workflow that takes the stream's sound has to be like.

Sound comes in pieces of one length and goes out in pieces, while frames come at a pace of their
own. So what is made of the sound must not depend on the frame; the other way round is possible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from comfytrickle.errors import NodeError
from comfytrickle.workflow.graph import ancestors
from comfytrickle.workflow.model import (
    LOAD_AUDIO_TENSOR,
    LOAD_TENSOR,
    SAVE_AUDIO_TENSOR,
    SAVE_TENSOR,
    SAVE_TEXT_TENSOR,
    Link,
    Node,
    is_link,
    sources_of,
    unwrap_value,
)

MIN_PIECE_MS = 10.0
MAX_PIECE_MS = 60_000.0
DEFAULT_PIECE_MS = 500.0  # ComfyStream's
_SIZE = "buffer_size"


def piece_s(nodes: Iterable[Node]) -> float:
    """How many seconds of sound their LoadAudioTensors want at a time; 0.0 when there is none."""
    for node in nodes:
        if node.class_type == LOAD_AUDIO_TENSOR:
            return float(unwrap_value(node.inputs.get(_SIZE, DEFAULT_PIECE_MS))) / 1000.0
    return 0.0


def sound_errors(
    nodes: Mapping[str, Node], links: Sequence[Link], complete: bool
) -> list[NodeError]:
    """Everything wrong with how the sound goes through. ``complete``: all nodes and links could be
    read; else what is missing may be among the others, and is not reported."""
    ins = [node for node in nodes.values() if node.class_type == LOAD_AUDIO_TENSOR]
    outs = [node for node in nodes.values() if node.class_type == SAVE_AUDIO_TENSOR]
    if not ins and not outs:
        return []
    errors = _size_errors(ins)
    if len(outs) > 1:
        ids = ", ".join(node.id for node in outs)
        message = f"more than one {SAVE_AUDIO_TENSOR} (nodes {ids}); keep one"
        errors += [_error("multiple_outputs", message, node) for node in outs]
    if not complete:
        return errors
    behind = _Behind(nodes, links)
    for node in outs:
        errors += _output_errors(node, behind)
    if ins and not outs:
        errors += _unheard(ins[0], nodes, behind)
    return errors


class _Behind:
    """Of what types are the nodes that a node depends on?"""

    def __init__(self, nodes: Mapping[str, Node], links: Sequence[Link]) -> None:
        self._nodes = nodes
        self._sources = sources_of(nodes, links)

    def types(self, node: Node) -> dict[str, str]:
        """Class type -> id of one such node."""
        found = ancestors([node.id], self._sources)
        return {self._nodes[node_id].class_type: node_id for node_id in found}


def _size_errors(ins: list[Node]) -> list[NodeError]:
    errors: list[NodeError] = []
    sizes: dict[float, str] = {}
    for node in ins:
        value = node.inputs.get(_SIZE)
        if value is None:
            continue  # the engine says that it is missing
        if is_link(value):
            message = f"{_SIZE}: must be a number, not a link: it is needed before anything runs"
            errors.append(_error("invalid_input_type", message, node, _SIZE))
            continue
        try:
            size = float(unwrap_value(value))
        except (TypeError, ValueError):
            size = math.nan
        if not math.isfinite(size):
            message = f"{_SIZE}: must be a number of milliseconds"
            errors.append(_error("invalid_input_type", message, node, _SIZE))
        elif size < MIN_PIECE_MS:
            message = f"{_SIZE}: {size:g} < {MIN_PIECE_MS:g} (milliseconds)"
            errors.append(_error("value_smaller_than_min", message, node, _SIZE))
        elif size > MAX_PIECE_MS:
            message = f"{_SIZE}: {size:g} > {MAX_PIECE_MS:g} (milliseconds)"
            errors.append(_error("value_bigger_than_max", message, node, _SIZE))
        else:
            sizes.setdefault(size, node.id)
    if len(sizes) > 1:
        said = ", ".join(f"{size:g} in node {node_id}" for size, node_id in sizes.items())
        message = f"{_SIZE}: must be the same in every {LOAD_AUDIO_TENSOR} ({said})"
        errors += [_error("custom_validation_failed", message, node, _SIZE) for node in ins]
    return errors


def _output_errors(node: Node, behind: _Behind) -> list[NodeError]:
    audio = node.inputs.get("audio")
    if audio is not None and not is_link(audio):
        message = "audio: must be linked to sound"
        return [_error("bad_linked_input", message, node, "audio")]
    types = behind.types(node)
    if LOAD_TENSOR in types:
        message = (
            f"the sound depends on the frame (node {types[LOAD_TENSOR]}, {LOAD_TENSOR}): it goes "
            "through in pieces, not once a frame, so it cannot be made of the picture"
        )
        return [_error("unsupported_feature", message, node, details="sound made of the picture")]
    if LOAD_AUDIO_TENSOR not in types:
        message = f"no sound of the stream reaches it: it has to depend on a {LOAD_AUDIO_TENSOR}"
        return [_error("no_input", message, node)]
    return []


def _unheard(first: Node, nodes: Mapping[str, Node], behind: _Behind) -> list[NodeError]:
    """With pictures going through, sound that nothing uses does no harm."""
    if any(node.class_type == SAVE_TENSOR for node in nodes.values()):
        return []
    texts = [node for node in nodes.values() if node.class_type == SAVE_TEXT_TENSOR]
    if not texts or any(LOAD_AUDIO_TENSOR in behind.types(node) for node in texts):
        return []  # without any output that is reported already
    message = f"nothing of the sound reaches a {SAVE_AUDIO_TENSOR} or {SAVE_TEXT_TENSOR}"
    return [_error("no_output", message, first)]


def _error(
    type_: str, message: str, node: Node, name: str | None = None, details: str = ""
) -> NodeError:
    return NodeError(type_, message, node.id, node.class_type, name, details)
