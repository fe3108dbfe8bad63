"""The constant part of a workflow: what it is, and its outputs, computed or found at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from comfytrickle.workflow.model import STREAM_INPUTS, Workflow
from workers.engine.constants import Lease, Made
from workers.engine.needed import needed_nodes
from workers.engine.plan import Plan, Step, make_plan
from workers.engine.signature import change_answer, signature
from workers.engine.spec import NodeSpec, read_spec
from workers.engine.steps import Look, all_outputs, bind, refuse_blocker

_IMAGE_TYPES = frozenset({"IMAGE", "MASK"})


@dataclass(frozen=True, slots=True)
class Described:
    """The nodes of a workflow that run. ``answers``: node id -> what its IS_CHANGED says, for
    those that do not give something new each time."""

    workflow: Workflow
    api: Mapping[str, Any]
    specs: Mapping[str, NodeSpec]
    answers: Mapping[str, str]

    def plan(self) -> Plan:
        changing = self.specs.keys() - self.answers.keys()
        return make_plan(self.workflow, self.specs, frozenset(changing), self.api)


def describe(
    workflow: Workflow, classes: Mapping[str, Any], *, beside: frozenset[str] = frozenset()
) -> Described:
    """Read the specs and ask every IS_CHANGED. ``beside``: nodes that are not asked, and count as
    giving something new each time."""
    needed = needed_nodes(workflow, classes)
    api = workflow.to_api()
    specs: dict[str, NodeSpec] = {}
    answers: dict[str, str] = {}
    for node_id in workflow.order:
        if node_id not in needed:
            continue
        node = workflow.nodes[node_id]
        spec = specs[node_id] = read_spec(node.class_type, classes[node.class_type])
        if node_id in beside or node.class_type in STREAM_INPUTS:
            continue
        answer = change_answer(node, spec, api)
        if answer is not None:
            answers[node_id] = answer
    return Described(workflow, api, specs, answers)


def held_values(
    plan: Plan,
    answers: Mapping[str, str],
    lease: Lease,
    device: torch.device,
    look: Look | None = None,
) -> dict[int, Any]:
    """Slot -> value, for what the rest of the workflow takes from the constant part. Raises
    NodeFailed when a constant node cannot be built or raises.

    Pictures that leave the constant part are on ``device``, where the frame is: once, instead of
    with every frame. Inside it they stay where the nodes put them, as in ComfyUI.
    """
    values: list[Any] = [None] * plan.slots
    keys: dict[int, str] = {}
    held: dict[int, Any] = {}
    for step in plan.constant:
        key = signature(step, keys, answers[step.node_id])
        outputs = lease.outputs(key, partial(_make, step, values, look))
        for output, slot in step.stores:
            value = values[slot] = outputs[output]
            refuse_blocker(step.node_id, step.spec.class_type, value)
            keys[slot] = f"{key}.{output}"
            if slot in plan.held:
                is_image = step.spec.returns[output] in _IMAGE_TYPES
                held[slot] = value.to(device) if is_image and torch.is_tensor(value) else value
    return held


def _make(step: Step, values: list[Any], look: Look | None) -> Made:
    bound = bind(step)
    return Made(all_outputs(bound, values, look), getattr(bound.call, "__self__", None))
