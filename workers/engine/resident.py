"""The resident graph: nodes instantiated once, called in order, the constant part computed once.

Measured against ComfyUI's own executor it takes 0.02 ms instead of 0.4 ms for a pass-through; the
work of a frame is one loop over prepared steps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from comfytrickle.workflow.model import LOAD_TENSOR, Node, Workflow
from workers.engine.failures import BadResult, bad_image, node_failure, unpack
from workers.engine.needed import needed_nodes
from workers.engine.plan import FRAME_SLOT, Step, Taken, literal_arguments, make_plan
from workers.engine.protocol import NodeFailed
from workers.engine.spec import NodeSpec, read_spec

_log = logging.getLogger(__name__)
_IMAGE_TYPES = frozenset({"IMAGE", "MASK"})


@dataclass(slots=True)
class RunContext:
    """What passes beside the frame in one run.

    ``taken``: id of a SaveTextTensor or SaveAudioTensor -> the inputs that reached it.
    """

    taken: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class BoundStep:
    """A step of the plan with its node instantiated and its constant inputs at hand."""

    node_id: str
    class_type: str
    call: Callable[..., Any]
    constants: dict[str, Any]
    links: tuple[tuple[str, int], ...]
    arity: int
    stores: tuple[tuple[int, int], ...]
    release: tuple[int, ...]


def run_steps(steps: Sequence[BoundStep], values: list[Any]) -> None:
    """Call each node with what is in its slots. Raises NodeFailed.

    No reference to an intermediate outlives the last node that reads it: neither in ``values``,
    nor in a local of this function, nor through the traceback of an error.
    """
    failure: NodeFailed
    step: BoundStep | None = None
    arguments: dict[str, Any] | None
    result: Any
    value: Any
    try:
        for step in steps:
            arguments = step.constants.copy()
            for name, slot in step.links:
                arguments[name] = values[slot]
            result = step.call(**arguments)
            arguments = None
            if type(result) is not tuple or len(result) != step.arity:
                result = unpack(result, step.arity)
            for index, slot in step.stores:
                value = result[index]
                if type(value).__name__ == "ExecutionBlocker":
                    raise BadResult("it returned an ExecutionBlocker, which this engine cannot do")
                values[slot] = value
            result = value = None
            for slot in step.release:
                values[slot] = None
        return
    except (Exception, SystemExit) as error:
        if step is None:
            raise
        failure = node_failure(step.node_id, step.class_type, error)
        # The failure's own traceback holds this frame and its caller's: leave no tensors in them.
        arguments = result = value = None
        values.clear()
    raise failure  # outside, so that the error it came from is not its context


class ResidentGraph:
    """A loaded workflow (see workers.engine.protocol.LoadedWorkflow)."""

    def __init__(
        self,
        steps: Sequence[BoundStep],
        template: list[Any],
        result: int,
        output_id: str,
        taken: Sequence[Taken],
        instances: list[Any],
        detail: dict[str, Any],
    ) -> None:
        self._steps = tuple(steps)
        self._template = template  # values before a run: constants in their slots, else None
        self._result = result
        self._output_id = output_id
        self._taken = tuple(taken)
        self._instances = instances  # constant nodes too: their outputs may depend on them
        self.detail = detail

    def run(self, image: torch.Tensor, context: RunContext | None = None) -> torch.Tensor:
        """One frame through the graph (see the protocol). ``context`` receives what is beside
        the picture, when given."""
        values = self._template.copy()
        values[FRAME_SLOT] = image
        with torch.inference_mode():
            run_steps(self._steps, values)
        if context is not None:
            for end in self._taken:
                inputs = dict(end.literals)
                inputs.update((name, values[slot]) for name, slot in end.links)
                context.taken[end.node_id] = inputs
        output = values[self._result]
        problem = bad_image(output)
        if problem is not None:
            raise NodeFailed(self._output_id, "SaveTensor", problem)
        return output  # type: ignore[no-any-return]  # bad_image has looked at it

    def close(self) -> None:
        """Drop the nodes, the constants and what they hold."""
        self._steps = ()
        self._template = []
        self._instances = []


def load_resident(
    workflow: Workflow, classes: Mapping[str, Any], device: torch.device, engine: str
) -> ResidentGraph:
    """Build it from a workflow in which check found nothing. Raises NodeFailed when a node cannot
    be built or a constant one raises."""
    needed = needed_nodes(workflow, classes)
    api = workflow.to_api()
    specs: dict[str, NodeSpec] = {}
    changing: set[str] = set()
    with torch.inference_mode():
        for node_id in workflow.order:
            if node_id not in needed:
                continue
            node = workflow.nodes[node_id]
            specs[node_id] = read_spec(node.class_type, classes[node.class_type])
            if node.class_type != LOAD_TENSOR and _changes(node, specs[node_id], api):
                changing.add(node_id)
        plan = make_plan(workflow, specs, frozenset(changing))
        values: list[Any] = [None] * plan.slots
        constant = [_bind(step) for step in plan.constant]
        live = [_bind(step) for step in plan.live]
        for step, bound in zip(plan.constant, constant, strict=True):
            run_steps([bound], values)
            _move_images(step, values, device)
    for bound in live:
        for name, slot in bound.links:
            if slot in plan.held:
                bound.constants[name] = values[slot]
        bound.links = tuple(link for link in bound.links if link[1] not in plan.held)
    template = [value if slot in plan.held else None for slot, value in enumerate(values)]
    detail = {
        "engine": engine,
        "graph": "resident",
        "live_nodes": plan.live_nodes,
        "constant_nodes": plan.constant_nodes,
    }
    instances = [getattr(bound.call, "__self__", None) for bound in constant]
    return ResidentGraph(
        live, template, plan.result, workflow.frame_output, plan.taken, instances, detail
    )


def _bind(step: Step) -> BoundStep:
    cls = step.spec.cls
    try:
        call = getattr(cls(), cls.FUNCTION)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the node's own code; reported
        failure = node_failure(step.node_id, step.spec.class_type, error)
    else:
        return BoundStep(
            step.node_id,
            step.spec.class_type,
            call,
            dict(step.literals),
            step.links,
            len(step.spec.returns),
            step.stores,
            step.release,
        )
    raise failure


def _changes(node: Node, spec: NodeSpec, api: Mapping[str, Any]) -> bool:
    """Does IS_CHANGED say that this node gives something new each time?

    It is asked twice, with links as None (ComfyUI's way): NaN, or two different answers, mean yes.
    So does an error in it, as in ComfyUI. An answer that changes only later (a file's time stamp)
    is noticed at the next load of the workflow, not while it runs.
    """
    is_changed = getattr(spec.cls, "IS_CHANGED", None)
    if is_changed is None:
        return False
    arguments = literal_arguments(node, spec, api)
    arguments.update((name, None) for name, value in node.inputs.items() if isinstance(value, list))
    try:
        return bool(is_changed(**arguments) != is_changed(**arguments))
    except Exception as error:  # noqa: BLE001 - the node's own code; logged
        _log.warning(
            "IS_CHANGED of node %s (%s) raised %s: %s; it will run for every frame",
            node.id,
            node.class_type,
            type(error).__name__,
            error,
        )
        return True


def _move_images(step: Step, values: list[Any], device: torch.device) -> None:
    """Constant pictures go to the frame's device once, instead of with every frame."""
    for output, slot in step.stores:
        value = values[slot]
        if step.spec.returns[output] in _IMAGE_TYPES and isinstance(value, torch.Tensor):
            values[slot] = value.to(device)
