"""What a workflow is once it has been read: nodes, links, an order to run them in.

A ``Workflow`` has the right *shape* (its links lead somewhere, it has no cycle, it is clear what
of the stream goes in and comes out). Whether its nodes exist and accept their inputs, only an
engine can say. Nothing here changes after it was built; the values inside ``Node.inputs`` must not
be changed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LOAD_TENSOR = "LoadTensor"  # brings the frame in, on output 0
SAVE_TENSOR = "SaveTensor"  # takes the frame out, by its input "images"
LOAD_AUDIO_TENSOR = "LoadAudioTensor"  # brings a piece of sound in, on output 0
SAVE_AUDIO_TENSOR = "SaveAudioTensor"  # takes the sound out, by its input "audio"
SAVE_TEXT_TENSOR = "SaveTextTensor"

STREAM_INPUTS = frozenset({LOAD_TENSOR, LOAD_AUDIO_TENSOR})
STREAM_OUTPUTS = frozenset({SAVE_TENSOR, SAVE_AUDIO_TENSOR, SAVE_TEXT_TENSOR})

MAX_NODES = 2000
MAX_BYTES = 4 * 1024 * 1024  # of JSON
MAX_DEPTH = 64  # of lists and objects inside a node


@dataclass(frozen=True, slots=True)
class Node:
    """One node. ``inputs`` holds literals and links; a link is ``[node_id, output]``."""

    id: str
    class_type: str
    inputs: Mapping[str, Any]
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Output ``output`` of node ``source`` goes to the input ``name`` of node ``target``."""

    source: str
    output: int
    target: str
    name: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph of the right shape.

    ``order`` is topological, and stable: of the nodes that could come next, the one that stands
    first in the document does. ``input_ids`` and ``output_ids`` are the stream's own nodes
    (``STREAM_INPUTS``, ``STREAM_OUTPUTS``) in document order. ``digest`` is the SHA-256 of the
    graph as canonical JSON without titles. ``converted`` says in words what was converted.
    """

    nodes: Mapping[str, Node]
    links: tuple[Link, ...]
    order: tuple[str, ...]
    input_ids: tuple[str, ...]
    output_ids: tuple[str, ...]
    digest: str
    converted: tuple[str, ...] = ()

    @property
    def frame_input(self) -> str | None:
        """Id of the one LoadTensor; None: it is all about sound."""
        return self._only(self.input_ids, LOAD_TENSOR)

    @property
    def frame_output(self) -> str | None:
        """Id of the one SaveTensor; None: it is all about sound."""
        return self._only(self.output_ids, SAVE_TENSOR)

    @property
    def sound_output(self) -> str | None:
        """Id of the one SaveAudioTensor, if there is one."""
        return self._only(self.output_ids, SAVE_AUDIO_TENSOR)

    @property
    def reads_sound(self) -> bool:
        """Is there a LoadAudioTensor?"""
        return self._only(self.input_ids, LOAD_AUDIO_TENSOR) is not None

    def _only(self, ids: tuple[str, ...], class_type: str) -> str | None:
        return next((i for i in ids if self.nodes[i].class_type == class_type), None)

    def to_api(self) -> dict[str, Any]:
        """The graph in API format, a copy: ``{id: {"class_type", "inputs", "_meta"}}``."""
        return {node.id: node_to_api(node) for node in self.nodes.values()}


def node_to_api(node: Node) -> dict[str, Any]:
    """One node in API format, a copy; ``_meta`` only where there is a title."""
    entry: dict[str, Any] = {
        "class_type": node.class_type,
        "inputs": copy.deepcopy(dict(node.inputs)),
    }
    if node.title is not None:
        entry["_meta"] = {"title": node.title}
    return entry


def canonical_json(nodes: Mapping[str, Node]) -> bytes:
    """The graph without titles: equal for equal graphs."""
    graph = {n.id: {"class_type": n.class_type, "inputs": n.inputs} for n in nodes.values()}
    text = json.dumps(graph, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def sources_of(nodes: Mapping[str, Node], links: Iterable[Link]) -> dict[str, list[str]]:
    """Node -> the nodes it takes from. What is linked to one of the stream's inputs has no effect:
    the engine supplies what these give."""
    sources: dict[str, list[str]] = {}
    for link in links:
        if nodes[link.target].class_type not in STREAM_INPUTS:
            sources.setdefault(link.target, []).append(link.source)
    return sources


def is_link(value: object) -> bool:
    """Every list among a node's inputs is a link; a list meant as a value is wrapped in
    ``{"__value__": [...]}`` by the format."""
    return isinstance(value, list)


def unwrap_value(value: Any) -> Any:
    """The literal behind ``{"__value__": literal}``, or the literal itself."""
    if isinstance(value, dict) and "__value__" in value:
        return value["__value__"]
    return value
