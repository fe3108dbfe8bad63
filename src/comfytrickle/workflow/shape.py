"""From a JSON object to nodes: is each entry a node, and is each value one that can be sent on?

Types of errors are ComfyUI's own where it has one.
"""

from __future__ import annotations

import copy
import math
from typing import Any

from comfytrickle.errors import NodeError
from comfytrickle.workflow.model import MAX_DEPTH, Node, is_link


def read_nodes(graph: dict[Any, Any]) -> tuple[dict[str, Node], list[NodeError]]:
    """The well-formed nodes in document order, and an error for each of the others.

    Inputs are copied. Node ids become strings.
    """
    nodes: dict[str, Node] = {}
    errors: list[NodeError] = []
    for key, entry in graph.items():
        node_id = key if isinstance(key, str) else str(key)
        if node_id in nodes:
            errors.append(NodeError("invalid_prompt", "two nodes have this id", node_id))
            continue
        found = _entry_errors(node_id, entry)
        if found:
            errors.extend(found)
            continue
        nodes[node_id] = Node(
            node_id,
            entry["class_type"],
            copy.deepcopy(entry.get("inputs", {})),
            _title(entry),
        )
    return nodes, errors


def _entry_errors(node_id: str, entry: object) -> list[NodeError]:
    if not _is_text(node_id):
        return [NodeError("invalid_prompt", "the node id is not valid Unicode", repr(node_id))]
    if not isinstance(entry, dict):
        got = type(entry).__name__
        return [NodeError("invalid_prompt", f"a node must be an object, not {got}", node_id)]
    errors = []
    class_type: str | None = entry.get("class_type")
    if not isinstance(class_type, str) or not class_type or not _is_text(class_type):
        message = "the node has no class_type" if class_type is None else "class_type is no name"
        errors.append(NodeError("invalid_prompt", message, node_id))
        class_type = None
    inputs = entry.get("inputs", {})
    if not isinstance(inputs, dict):
        got = type(inputs).__name__
        message = f"inputs must be an object, not {got}"
        return [*errors, NodeError("invalid_prompt", message, node_id, class_type)]
    for name, value in inputs.items():
        problem = "its name is not a string" if not _is_text(name) else value_problem(value)
        if problem:
            errors.append(
                NodeError(
                    "invalid_input_type",
                    f"the value of input {name!r} cannot be used: {problem}",
                    node_id,
                    class_type,
                    ascii(name),
                )
            )
    return errors


def value_problem(value: object) -> str | None:
    """Why this value cannot be stored and sent on (as JSON and as MessagePack), or None."""
    todo: list[tuple[object, int]] = [(value, 1)]
    while todo:
        item, depth = todo.pop()
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH} levels"
        if isinstance(item, str):
            if not _is_text(item):
                return "a string is not valid Unicode (a lone surrogate)"
        elif isinstance(item, int):
            if not -(2**63) <= item < 2**64:
                return "an integer needs more than 64 bits"
        elif isinstance(item, float):
            if not math.isfinite(item):
                return "a number is not finite"
        elif isinstance(item, list):
            todo.extend((part, depth + 1) for part in item)
        elif isinstance(item, dict):
            if not all(_is_text(key) for key in item):
                return "a key is not a string"
            todo.extend((part, depth + 1) for part in item.values())
        elif item is not None:
            return f"{type(item).__name__} is no JSON type"
    return None


def link_errors(nodes: dict[str, Node], known: set[str]) -> list[NodeError]:
    """What is wrong with the links; ``known``: every id in the document, malformed nodes too."""
    errors = []
    for node in nodes.values():
        for name, value in node.inputs.items():
            problem = _link_problem(value, known) if is_link(value) else None
            if problem:
                errors.append(
                    NodeError("bad_linked_input", problem, node.id, node.class_type, name)
                )
    return errors


def _link_problem(value: list[Any], known: set[str]) -> str | None:
    if len(value) != 2:
        return (
            "a link is [node id, output index]; this list has "
            f"{len(value)} entries (a list meant as a value is written {{'__value__': [...]}})"
        )
    source, output = value
    if isinstance(source, bool) or not isinstance(source, str | int):
        return "the first entry of a link must be a node id"
    if output_index(output) is None:
        return f"the output index of a link must be a whole number from 0 on, not {output!r}"
    if str(source) not in known:
        return f"links to node {str(source)!r}, which does not exist"
    return None


def output_index(value: object) -> int | None:
    """The index as ComfyUI reads it (a whole float is one too), or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value >= 0 and value == int(value) else None


def _title(entry: dict[str, Any]) -> str | None:
    meta = entry.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) and _is_text(title) else None


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
