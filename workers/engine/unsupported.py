"""What the resident graph does not do, found before a frame runs.

(ExecutionBlocker and ``expand`` show only in what a node returns: those end in NodeFailed.)
"""

from __future__ import annotations

import inspect
from typing import Any

from comfytrickle.errors import NodeError
from comfytrickle.workflow.model import LOAD_AUDIO_TENSOR, Node
from workers.engine.spec import NodeSpec

# None is what ComfyUI gives when a caller sent no such thing along.
HIDDEN_NONE = frozenset({"EXTRA_PNGINFO", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"})
HIDDEN_SUPPLIED = frozenset({"UNIQUE_ID", "PROMPT"}) | HIDDEN_NONE


def unsupported(node: Node, spec: NodeSpec) -> list[NodeError]:
    """One error of type ``unsupported_feature`` for each feature that this node uses; the
    feature's name is in ``details``."""
    return [
        NodeError(
            "unsupported_feature",
            f"{node.class_type} uses {feature}, which this engine does not do",
            node.id,
            node.class_type,
            details=feature,
        )
        for feature in _features(spec)
    ]


def _features(spec: NodeSpec) -> list[str]:
    cls: Any = spec.cls
    found = []
    if any(declared.options.get("lazy") for declared in spec.inputs()):
        found.append("lazy inputs")
    if any(declared.options.get("rawLink") for declared in spec.inputs()):
        found.append("raw links")
    if spec.class_type == LOAD_AUDIO_TENSOR:
        found.append("the stream's sound as an input")
    if getattr(cls, "INPUT_IS_LIST", False):
        found.append("INPUT_IS_LIST")
    if any(getattr(cls, "OUTPUT_IS_LIST", ())):
        found.append("OUTPUT_IS_LIST")
    if any(
        inspect.iscoroutinefunction(getattr(cls, name, None))
        for name in (cls.FUNCTION, "IS_CHANGED", "VALIDATE_INPUTS")
    ):
        found.append("async functions")
    for name, wanted in spec.hidden().items():
        if isinstance(wanted, str) and wanted.isupper() and wanted not in HIDDEN_SUPPLIED:
            found.append(f"the hidden input {name} ({wanted})")
    return found
