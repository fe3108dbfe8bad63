"""Which constant nodes give the same: those that are called in the same way. Pure, but for asking.

A node's signature is a digest of what it is called with: its type, its literals in their order, its
hidden inputs, what its IS_CHANGED answered, and the signatures of the nodes it takes from, so of
its whole ancestry. Its id is in it only when the node sees it (or says that it is NOT_IDEMPOTENT):
two equal nodes of one workflow share their outputs too, as in ComfyUI.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping
from typing import Any

from comfytrickle.workflow.model import Node, is_link
from workers.engine.contracts import change_function
from workers.engine.plan import Step, hidden_values, literal_arguments
from workers.engine.spec import NodeSpec

_log = logging.getLogger(__name__)


def signature(step: Step, sources: Mapping[int, str], answer: str) -> str:
    """``sources``: slot -> what is in it, for the slots that the step reads; ``answer``: see
    change_answer."""
    own = step.node_id if getattr(step.spec.cls, "NOT_IDEMPOTENT", False) else None
    links = [(name, sources[slot]) for name, slot in step.links]
    text = _text([step.spec.class_type, own, answer, step.literals, step.hidden, links])
    return hashlib.sha256(text.encode()).hexdigest()


def change_answer(node: Node, spec: NodeSpec, api: Mapping[str, Any]) -> str | None:
    """What IS_CHANGED says, as a text that is the same for the same answer; None: that the node
    gives something new each time. Without IS_CHANGED the answer is empty.

    It is asked twice, with links as None (ComfyUI's way): NaN, or two different answers, mean new
    each time. So does an error in it, as in ComfyUI. An answer that changes only later (a file's
    time stamp) is noticed at the next load of the workflow, not while it runs.
    """
    try:
        is_changed = change_function(spec.cls)
        if is_changed is None:
            return ""
        arguments = literal_arguments(node, spec)
        if not spec.v3:
            arguments.update(hidden_values(node, spec, api))
        arguments.update((name, None) for name, value in node.inputs.items() if is_link(value))
        answer = is_changed(**arguments)
        return None if answer != is_changed(**arguments) else _text(answer)
    except Exception as error:  # noqa: BLE001 - the node's own code; logged
        _log.warning(
            "IS_CHANGED of node %s (%s) raised %s: %s; it will run for every frame",
            node.id,
            node.class_type,
            type(error).__name__,
            error,
        )
        return None


def _text(value: Any) -> str:
    """Equal texts for equal values; what cannot be written down is equal to nothing."""
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError):
        return uuid.uuid4().hex


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
