"""A part of a workflow as a workflow of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from types import MappingProxyType

from comfytrickle.workflow.graph import ancestors
from comfytrickle.workflow.model import (
    STREAM_INPUTS,
    Node,
    Workflow,
    canonical_json,
    is_link,
    sources_of,
)


def part_of(workflow: Workflow, ends: Iterable[str]) -> Workflow:
    """The nodes ``ends`` with all that they depend on; the same object when that is everything.

    Links into the stream's inputs, which have no effect, are gone.
    """
    kept = ancestors(ends, sources_of(workflow.nodes, workflow.links))
    if len(kept) == len(workflow.nodes):
        return workflow
    nodes = {i: _alone(node) for i, node in workflow.nodes.items() if i in kept}
    return Workflow(
        nodes=MappingProxyType(nodes),
        links=tuple(
            link
            for link in workflow.links
            if link.target in kept and nodes[link.target].class_type not in STREAM_INPUTS
        ),
        order=tuple(i for i in workflow.order if i in kept),
        input_ids=tuple(i for i in workflow.input_ids if i in kept),
        output_ids=tuple(i for i in workflow.output_ids if i in kept),
        digest=hashlib.sha256(canonical_json(nodes)).hexdigest(),
        converted=workflow.converted,
    )


def _alone(node: Node) -> Node:
    if node.class_type not in STREAM_INPUTS or not any(map(is_link, node.inputs.values())):
        return node
    inputs = {name: value for name, value in node.inputs.items() if not is_link(value)}
    return Node(node.id, node.class_type, inputs, node.title)
