"""The resident graph: nodes instantiated once, called in order, the constant part computed once.

Measured against ComfyUI's own executor it takes 0.02 ms instead of 0.4 ms for a pass-through; the
work of a frame is one loop over prepared steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from comfytrickle.workflow.model import SAVE_AUDIO_TENSOR, SAVE_TENSOR, Workflow
from comfytrickle.workflow.sound import piece_s
from workers.engine.constant_part import describe, held_values
from workers.engine.constants import Constants, Lease
from workers.engine.failures import bad_image, node_failure
from workers.engine.plan import FRAME_SLOT, SOUND_SLOT, Plan
from workers.engine.protocol import Audio, NodeFailed, RunContext
from workers.engine.sound import BadSound, read_sound, silence
from workers.engine.steps import BoundStep, Look, bind, run_steps


class ResidentGraph:
    """A loaded workflow (see workers.engine.protocol.LoadedWorkflow)."""

    def __init__(
        self,
        steps: Sequence[BoundStep],
        template: list[Any],
        plan: Plan,
        piece_s: float,
        constants: Lease,
        detail: dict[str, Any],
        look: Look | None = None,
    ) -> None:
        self._steps = tuple(steps)
        self._template = template  # values before a run: constants in their slots, else None
        self._output_id = "" if plan.output is None else plan.output.node_id
        self._result = plan.result
        self._taken = plan.taken
        self._reads_sound = plan.reads_sound
        self._piece_s = piece_s
        self._constants = constants
        self._look = look
        self.detail = detail

    def run(self, image: torch.Tensor, context: RunContext | None = None) -> torch.Tensor:
        """One frame through the graph (see the protocol). ``context`` receives what is beside
        the picture, when given."""
        values = self._template.copy()
        values[FRAME_SLOT] = image
        if self._reads_sound:
            latest = None if context is None else context.sound
            values[SOUND_SLOT] = silence(self._piece_s) if latest is None else latest
        self._run(values, context)
        output = values[self._result]
        problem = bad_image(output)
        if problem is not None:
            raise NodeFailed(self._output_id, SAVE_TENSOR, problem)
        return output  # type: ignore[no-any-return]  # bad_image has looked at it

    def hear(self, audio: Audio, context: RunContext | None = None) -> Audio | None:
        """One piece of sound through the graph (see the protocol)."""
        values = self._template.copy()
        values[SOUND_SLOT] = audio
        self._run(values, context)
        return heard(self._output_id, values[self._result]) if self._output_id else None

    def _run(self, values: list[Any], context: RunContext | None) -> None:
        with torch.inference_mode():
            run_steps(self._steps, values, self._look)
        if context is not None:
            for end in self._taken:
                inputs = dict(end.literals)
                inputs.update((name, values[slot]) for name, slot in end.links)
                context.taken[end.node_id] = inputs

    def close(self) -> None:
        """Drop the nodes, and the constants that no other workflow uses."""
        self._steps = ()
        self._template = []
        self._constants.close()


def heard(output_id: str, value: Any) -> Audio:
    """What reached the SaveAudioTensor ``output_id``, as it may leave. Raises NodeFailed."""
    try:
        return read_sound(value)
    except BadSound as error:
        failure = NodeFailed(output_id, SAVE_AUDIO_TENSOR, str(error))
    except Exception as error:  # noqa: BLE001 - of a mapping that reads a file, of the device
        failure = node_failure(output_id, SAVE_AUDIO_TENSOR, error)
    raise failure


def load_resident(
    workflow: Workflow,
    classes: Mapping[str, Any],
    device: torch.device,
    engine: str,
    constants: Constants,
    look: Look | None = None,
) -> ResidentGraph:
    """Build it from a workflow in which check found nothing and that uses no feature of
    workers.engine.ways. ``constants``: the engine's, shared by all workflows that it has loaded;
    ``look``: called before each node, here and in every run.

    Raises NodeFailed when a node cannot be built or a constant one raises; NeedsExecutor when a
    constant one returned what this graph cannot follow.
    """
    lease = constants.lease()
    try:
        with torch.inference_mode():
            described = describe(workflow, classes)
            plan = described.plan()
            held = held_values(plan, described.answers, lease, device, look)
            live = [bind(step) for step in plan.live]
    except BaseException:
        lease.close()
        raise
    for bound in live:
        for name, slot in bound.links:
            if slot in held:
                bound.constants[name] = held[slot]
        bound.links = tuple(link for link in bound.links if link[1] not in held)
    template = [held.get(slot) for slot in range(plan.slots)]
    return ResidentGraph(
        live,
        template,
        plan,
        piece_s(workflow.nodes.values()),
        lease,
        resident_detail(plan, engine),
        look,
    )


def resident_detail(plan: Plan, engine: str) -> dict[str, Any]:
    """LoadedWorkflow.detail of this graph; known before it is built."""
    return {
        "engine": engine,
        "graph": "resident",
        "live_nodes": plan.live_nodes,
        "constant_nodes": plan.constant_nodes,
    }
