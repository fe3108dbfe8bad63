"""What the embedded engine refuses: it has nothing but the resident graph."""

from __future__ import annotations

from comfytrickle.errors import NodeError
from comfytrickle.workflow.model import Node
from workers.engine.contracts import is_async, validation_function
from workers.engine.refusals import not_done
from workers.engine.spec import NodeSpec
from workers.engine.ways import features


def unsupported(node: Node, spec: NodeSpec) -> list[NodeError]:
    """One error of type ``unsupported_feature`` for each feature that this node uses; the
    feature's name is in ``details``."""
    found = features(node, spec)
    if "async functions" not in found and is_async(validation_function(spec.cls)):
        found.append("async functions")
    return [not_done(node, feature) for feature in found]
