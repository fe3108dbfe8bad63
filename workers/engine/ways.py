"""What keeps a workflow from running as a resident graph, as far as its classes tell.

(``expand`` and ExecutionBlocker show only in what a node returns: see failures.NeedsExecutor.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfytrickle.workflow.model import Node, Workflow, is_link
from workers.engine.contracts import HIDDEN_SUPPLIED, change_function, is_async, may_expand
from workers.engine.needed import needed_nodes
from workers.engine.spec import InputSpec, NodeSpec, read_spec


@dataclass(frozen=True, slots=True)
class Reason:
    """One node and one thing about it that only ComfyUI's executor does."""

    node_id: str
    node_type: str
    why: str


def why_not_resident(workflow: Workflow, classes: Mapping[str, Any]) -> list[Reason]:
    """Empty: the resident graph can run it, as far as can be told before a frame runs.

    Only nodes that run count. Every node's type must be in ``classes``; raises what a class's
    INPUT_TYPES raises (validation comes before this).
    """
    needed = needed_nodes(workflow, classes)
    found = []
    for node_id in workflow.order:
        if node_id in needed:
            node = workflow.nodes[node_id]
            spec = read_spec(node.class_type, classes[node.class_type])
            found += [Reason(node_id, node.class_type, why) for why in features(node, spec)]
    return found


def features(node: Node, spec: NodeSpec) -> list[str]:
    """What this node uses and the resident graph does not do, by name."""
    cls: Any = spec.cls
    linked = [
        declared
        for name, value in node.inputs.items()
        if is_link(value) and (declared := spec.input(name)) is not None
    ]
    found = []
    if any(declared.options.get("lazy") for declared in linked):
        found.append("lazy inputs")
    if any(declared.options.get("rawLink") for declared in linked):
        found.append("raw links")
    if any(_is_dynamic(declared) for declared in spec.inputs()):
        found.append("dynamic inputs")
    if getattr(cls, "INPUT_IS_LIST", False):
        found.append("INPUT_IS_LIST")
    if any(getattr(cls, "OUTPUT_IS_LIST", None) or ()):
        found.append("OUTPUT_IS_LIST")
    if is_async(getattr(cls, cls.FUNCTION, None)) or is_async(change_function(cls)):
        found.append("async functions")
    if may_expand(cls):
        found.append("expansion into a subgraph")
    for name, wanted in spec.hidden().items():
        if isinstance(wanted, str) and wanted.isupper() and wanted not in HIDDEN_SUPPLIED:
            found.append(f"the hidden input {name} ({wanted})")
    return found


def _is_dynamic(declared: InputSpec) -> bool:
    """Inputs of V3 that stand for several, which the executor puts into one dict or list."""
    kind = declared.type
    return (
        isinstance(kind, str)
        and kind.startswith("COMFY_")
        and ("AUTOGROW" in kind or "DYNAMIC" in kind)
    )
