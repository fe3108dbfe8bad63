"""The one way in: from what a caller sent to a Workflow, or to every error found in it."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import Any

from comfytrickle.errors import InvalidInput, InvalidWorkflow, NodeError
from comfytrickle.workflow.convert import convert
from comfytrickle.workflow.document import read_document, too_large
from comfytrickle.workflow.graph import find_cycles, topological_order
from comfytrickle.workflow.model import (
    MAX_BYTES,
    MAX_NODES,
    STREAM_INPUTS,
    STREAM_OUTPUTS,
    Link,
    Node,
    Workflow,
    canonical_json,
    is_link,
)
from comfytrickle.workflow.shape import link_errors, output_index, read_nodes
from comfytrickle.workflow.sound import sound_errors

_SHOWN_IN_CYCLE = 12


class InvalidShape(InvalidWorkflow):
    """``workflow``: as it was read all the same, for an engine to say what else is wrong with it.
    None: some of its nodes or links make no sense, or it has no order to run in."""

    def __init__(
        self, errors: list[NodeError], field: str, workflow: Workflow | None = None
    ) -> None:
        super().__init__(summary(errors), errors, field)
        self.workflow = workflow


def parse_prompt(value: object, field: str = "params.prompt") -> Workflow:
    """Read, convert and check the shape of a workflow. Parsing ``to_api()`` of the result again
    gives the same workflow.

    ``value``: an API-format graph (dict), a JSON string of one, a list with exactly one of
    either, ComfyUI's ``{"prompt": graph}``; None and "" mean the default pass-through.
    Raises InvalidInput when it is none of these or too large, InvalidShape with all shape
    errors otherwise. ``field`` names the value in messages.
    """
    document = read_document(value, field)
    if not document:
        raise InvalidInput(field, "the workflow has no nodes")
    if len(document) > MAX_NODES:
        raise InvalidInput(
            field, f"the workflow has {len(document)} nodes; at most {MAX_NODES} are allowed"
        )
    nodes, errors = read_nodes(document)
    malformed = {str(key) for key in document} - nodes.keys()
    nodes, converted, found = convert(nodes, complete=not malformed)
    errors += found
    found = link_errors(nodes, nodes.keys() | malformed)
    errors += found
    broken = {(error.node_id, error.input_name) for error in found}
    links, nodes = _links(nodes, broken)
    edges = [(k.source, k.target) for k in links if k.source in nodes]
    order = topological_order(list(nodes), edges)
    cycles = find_cycles(list(nodes), edges) if len(order) < len(nodes) else []
    errors += [_cycle_error(cycle, nodes) for cycle in cycles]
    errors += sound_errors(nodes, links, complete=not malformed and not broken)
    if malformed or broken or cycles:
        raise InvalidShape(errors, field)
    workflow = Workflow(
        nodes=MappingProxyType(nodes),
        links=tuple(links),
        order=tuple(order),
        input_ids=tuple(i for i, n in nodes.items() if n.class_type in STREAM_INPUTS),
        output_ids=tuple(i for i, n in nodes.items() if n.class_type in STREAM_OUTPUTS),
        digest=_digest(nodes, field),
        converted=tuple(converted),
    )
    if errors:
        raise InvalidShape(errors, field, workflow)
    return workflow


def _links(
    nodes: dict[str, Node], broken: set[tuple[str | None, str | None]]
) -> tuple[list[Link], dict[str, Node]]:
    """All sound links, and the nodes with their links in normal form: ``[str, int]``."""
    links: list[Link] = []
    normal: dict[str, Node] = {}
    for node in nodes.values():
        inputs: dict[str, Any] = {}
        for name, value in node.inputs.items():
            if is_link(value) and (node.id, name) not in broken:
                link = Link(str(value[0]), output_index(value[1]) or 0, node.id, name)
                links.append(link)
                value = [link.source, link.output]
            inputs[name] = value
        normal[node.id] = Node(node.id, node.class_type, inputs, node.title)
    return links, normal


def _cycle_error(cycle: list[str], nodes: dict[str, Node]) -> NodeError:
    shown = [f"{i} ({nodes[i].class_type})" for i in cycle[:_SHOWN_IN_CYCLE]]
    if len(cycle) > _SHOWN_IN_CYCLE:
        shown.append(f"... {len(cycle) - _SHOWN_IN_CYCLE} more")
    way = " -> ".join([*shown, cycle[0]])
    return NodeError(
        "dependency_cycle",
        f"the nodes depend on each other in a circle: {way}",
        cycle[0],
        nodes[cycle[0]].class_type,
        details=", ".join(cycle),
    )


def summary(errors: list[NodeError]) -> str:
    """The first one in words, and how many more there are."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if first.node_id is None:  # then it speaks of the workflow itself
        return f"{first.message}{more}"
    return f"the workflow cannot run: node {first.node_id}: {first.message}{more}"


def _digest(nodes: dict[str, Node], field: str) -> str:
    canonical = canonical_json(nodes)
    if len(canonical) > MAX_BYTES:
        raise too_large(field)
    return hashlib.sha256(canonical).hexdigest()


DEFAULT_WORKFLOW = parse_prompt(None)
