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
