"""How an engine says that it does not run a workflow."""

from __future__ import annotations

from comfytrickle.errors import InvalidWorkflow, NodeError
from comfytrickle.workflow.model import Node


def not_done(node: Node, feature: str) -> NodeError:
    """``feature``, in words, is in its ``details`` too."""
    return NodeError(
        "unsupported_feature",
        f"{node.class_type} uses {feature}, which this engine does not do",
        node.id,
        node.class_type,
        details=feature,
    )


def refuse(errors: list[NodeError]) -> None:
    """Raises InvalidWorkflow when there are any, with all of them and the first one in words."""
    if errors:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise InvalidWorkflow(
            f"the workflow cannot run: node {first.node_id} ({first.class_type}): "
            f"{first.message}{more}",
            errors,
        )


def besides(shape: list[NodeError], found: list[NodeError]) -> list[NodeError]:
    """Of what an engine ``found``, that which is news where ``shape`` is wrong already: one error
    for each input, and nothing of the workflow as a whole."""
    known = {(error.node_id, error.input_name) for error in shape if error.input_name is not None}
    return [e for e in found if e.node_id is not None and (e.node_id, e.input_name) not in known]
