"""Which nodes of a workflow run, and which of them depend on the stream. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from comfytrickle.workflow.graph import ancestors
from comfytrickle.workflow.model import STREAM_INPUTS, Workflow, sources_of
from workers.engine.spec import is_output_node


def needed_nodes(workflow: Workflow, classes: Mapping[str, Any]) -> set[str]:
    """The stream's outputs, every other node with OUTPUT_NODE, and what these depend on."""
    roots = {*workflow.output_ids, *output_nodes(workflow, classes)}
    return ancestors(roots, sources_of(workflow.nodes, workflow.links))


def output_nodes(workflow: Workflow, classes: Mapping[str, Any]) -> frozenset[str]:
    """Ids of the nodes whose class says OUTPUT_NODE; those without a class are none."""
    return frozenset(
        node.id for node in workflow.nodes.values() if is_output_node(classes.get(node.class_type))
    )


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
