"""Which of a workflow's nodes are meant, and the error where that is not clear."""

from __future__ import annotations

from comfytrickle.errors import NodeError
from comfytrickle.workflow.model import Node


def of_types(nodes: dict[str, Node], *names: str) -> list[Node]:
    return [node for node in nodes.values() if node.class_type in names]


def ambiguous(type_: str, what: str, found: list[Node], where: str) -> list[NodeError]:
    """One error for each of ``found``, of which one is to stay."""
    ids = ", ".join(node.id for node in found)
    message = f"{what} (nodes {ids}); keep one, where the {where}"
    return [NodeError(type_, message, node.id, node.class_type) for node in found]
