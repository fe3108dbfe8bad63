"""Which nodes of a workflow run, and which of them depend on the stream. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from comfytrickle.workflow.graph import ancestors
from comfytrickle.workflow.model import LOAD_TENSOR, STREAM_INPUTS, Workflow
from workers.engine.spec import is_output_node


def needed_nodes(workflow: Workflow, classes: Mapping[str, Any]) -> set[str]:
    """The stream's outputs, every other node with OUTPUT_NODE, and what these depend on."""
    roots = [
        node.id
        for node in workflow.nodes.values()
        if node.id in workflow.output_ids or is_output_node(classes.get(node.class_type))
    ]
    sources: dict[str, list[str]] = {}
    for link in workflow.links:
        # The engine supplies the frame: what is linked to a LoadTensor has no effect.
        if workflow.nodes[link.target].class_type != LOAD_TENSOR:
            sources.setdefault(link.target, []).append(link.source)
    return ancestors(roots, sources)


def live_nodes(workflow: Workflow, needed: Collection[str], changing: Collection[str]) -> set[str]:
    """Of the needed nodes, those that can give something else for each frame: the stream's
    inputs, nodes whose IS_CHANGED says so, and everything behind them."""
    live = {
        node_id
        for node_id in needed
        if node_id in changing or workflow.nodes[node_id].class_type in STREAM_INPUTS
    }
    sources: dict[str, list[str]] = {}
    for link in workflow.links:
        sources.setdefault(link.target, []).append(link.source)
    for node_id in workflow.order:
        if node_id in needed and any(source in live for source in sources.get(node_id, ())):
            live.add(node_id)
    return live
