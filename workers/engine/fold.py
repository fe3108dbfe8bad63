"""A workflow for an executor, with its constant part already computed.

An executor that runs a graph for every frame looks at all of it each time; what does not depend on
a frame is taken out here and stands in the graph as values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from comfytrickle.workflow.model import LOAD_TENSOR, STREAM_OUTPUTS, Workflow, is_link
from workers.engine.constant_part import Described, describe, held_values
from workers.engine.constants import Constants, Lease
from workers.engine.failures import NeedsExecutor
from workers.engine.needed import live_nodes
from workers.engine.plan import Plan
from workers.engine.ways import why_not_resident


@dataclass(frozen=True, slots=True)
class Constant:
    """What stands for a node that was computed. ``values`` has one entry for each of ``types``
    (its RETURN_TYPES); outputs that nobody in the folded graph reads are None."""

    class_type: str
    types: tuple[Any, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """``api``: the nodes that are left, in API format, with their own ids, a fresh copy. Links in
    it lead to nodes of ``api`` or to ``constants``, by the id and the output as ever. What is
    linked to a LoadTensor is left out: it has no effect.

    It holds its constants until it is closed.
    """

    api: Mapping[str, Any]
    constants: Mapping[str, Constant]
    live_nodes: int
    constant_nodes: int
    lease: Lease

    def close(self) -> None:
        """Idempotent. The values must not be used any more."""
        self.lease.close()


def fold(
    workflow: Workflow, classes: Mapping[str, Any], device: torch.device, constants: Constants
) -> Folded:
    """Of a workflow in which validation found nothing. Constant nodes which only an executor can
    run stay in the graph, with everything behind them, and so do the stream's own nodes.

    Raises NodeFailed when another constant node raises.
    """
    beside = frozenset(reason.node_id for reason in why_not_resident(workflow, classes))
    lease = constants.lease()
    try:
        with torch.inference_mode():
            described = describe(workflow, classes, beside=beside)
            while True:
                plan = described.plan()
                try:
                    held = held_values(plan, described.answers, lease, device)
                    break
                except NeedsExecutor as error:
                    described = _without_answer(described, error.node_id)
    except BaseException:
        lease.close()
        raise
    left = _left(described)
    return Folded(
        api=_api(workflow, left),
        constants=_constants(plan, held),
        live_nodes=len(left),
        constant_nodes=len(described.specs) - len(left),
        lease=lease,
    )


def _without_answer(described: Described, node_id: str) -> Described:
    """A node that counts as giving something new each time is not in the constant part."""
    answers = {known: answer for known, answer in described.answers.items() if known != node_id}
    return replace(described, answers=answers)


def _left(described: Described) -> list[str]:
    workflow, specs = described.workflow, described.specs
    live = live_nodes(workflow, specs, specs.keys() - described.answers.keys())
    return [
        node_id
        for node_id in workflow.order
        if node_id in live
        or (node_id in specs and workflow.nodes[node_id].class_type in STREAM_OUTPUTS)
    ]


def _api(workflow: Workflow, left: Collection[str]) -> dict[str, Any]:
    whole = workflow.to_api()
    api = {node_id: whole[node_id] for node_id in left}
    for entry in api.values():
        if entry["class_type"] == LOAD_TENSOR:
            inputs = entry["inputs"].items()
            entry["inputs"] = {name: value for name, value in inputs if not is_link(value)}
    return api


def _constants(plan: Plan, held: Mapping[int, Any]) -> dict[str, Constant]:
    constants = {}
    for step in plan.constant:
        read = {output: held[slot] for output, slot in step.stores if slot in held}
        if read:
            types = step.spec.returns
            values = tuple(read.get(output) for output in range(len(types)))
            constants[step.node_id] = Constant(step.spec.class_type, types, values)
    return constants
