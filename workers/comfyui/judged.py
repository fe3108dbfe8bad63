"""A loaded workflow: as a resident graph where that does the same as ComfyUI, else by its executor.

The resident graph is 10 to 20 times as fast for small nodes, but ComfyUI's executor is what defines
the result. So the first frame, or piece of sound, goes through both, from one random state, and
has to come out equal; from then on one of them runs.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import torch

from comfytrickle.workflow.model import Workflow
from workers.comfyui.boot import ComfyUI
from workers.comfyui.by_executor import ExecutorGraph
from workers.comfyui.executor import Prompt
from workers.comfyui.memory import Collector
from workers.comfyui.outlook import blank_detail
from workers.comfyui.turns import (
    FrameTurn,
    PieceTurn,
    Result,
    Turn,
    copied_context,
    same_texts,
)
from workers.engine.constants import Constants
from workers.engine.failures import NeedsExecutor
from workers.engine.protocol import Audio, NodeFailed, RunContext
from workers.engine.resident import ResidentGraph, load_resident
from workers.engine.ways import Reason, why_not_resident

_log = logging.getLogger(__name__)
_WARM_AFTER = 2  # runs: the first one loads and compiles, the second one runs as all later ones


class JudgedWorkflow:
    """See workers.engine.protocol.LoadedWorkflow.

    ``detail["graph"]``: "resident" or "executor"; ``reasons``: why not resident; ``checked``: has
    what the resident graph gave first been compared?
    """

    def __init__(
        self,
        comfyui: ComfyUI,
        workflow: Workflow,
        prompt: Prompt,
        constants: Constants,
        collector: Collector,
    ) -> None:
        """``prompt``: the workflow as validation left it, without errors. Raises NodeFailed when a
        node cannot be built or a constant one raises."""
        self._comfyui = comfyui
        self._workflow = workflow
        self._prompt = prompt
        self._constants = constants
        self._collector = collector
        self._resident: ResidentGraph | None = None
        self._executor: ExecutorGraph | None = None
        self._runs = 0
        self._closed = False
        self.detail: dict[str, Any] = blank_detail(comfyui)
        # As the executor does: an interrupt is for what runs when it comes.
        comfyui.nodes.interrupt_processing(False)
        for reason in self._load_resident():
            self._not_resident(reason)
        try:
            # Also beside the resident graph, until that is checked; what is constant is shared.
            self._load_executor()
        except BaseException:
            self.close()
            raise

    def run(self, image: torch.Tensor, context: RunContext | None = None) -> torch.Tensor:
        """One frame through the graph (see the protocol). ``context`` receives what is beside
        the picture, when given."""
        return self._counted(FrameTurn(image), context)

    def hear(self, audio: Audio, context: RunContext | None = None) -> Audio | None:
        """One piece of sound through the graph (see the protocol)."""
        return self._counted(PieceTurn(audio), context)

    def close(self) -> None:
        """Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._drop_resident()
        if self._executor is not None:
            self._executor.close()
            self._executor = None
        self._collector.sweep()
        if self._comfyui.device.type != "cpu":
            self._comfyui.model_management.soft_empty_cache()

    def _counted(self, turn: Turn[Result], context: RunContext | None) -> Result:
        output = self._run(turn, RunContext() if context is None else context)
        self._runs += 1
        if self._runs == _WARM_AFTER:
            self._collector.settle()
        return output

    def _run(self, turn: Turn[Result], context: RunContext) -> Result:
        if self._resident is None:
            return turn.through(self._by_executor(), context)
        if not self.detail["checked"]:
            return self._first(self._resident, turn, context)
        self._comfyui.nodes.interrupt_processing(False)
        try:
            return turn.through(self._resident, context)
        except NeedsExecutor as error:
            reason = Reason(error.node_id, error.node_type, error.message)
        context.taken.clear()
        self._not_resident(reason)
        return turn.through(self._by_executor(), context)

    def _first(self, resident: ResidentGraph, turn: Turn[Result], context: RunContext) -> Result:
        """The one that decides. What ComfyUI gives is what leaves, in any case."""
        device = self._comfyui.device
        state = _random_state(device)
        expected = turn.copied().through(self._by_executor(), copied_context(context))
        _set_random_state(device, state)
        beside = RunContext(sound=context.sound)
        try:
            output = turn.through(resident, beside)
        except NodeFailed as error:
            if error.interrupted:
                raise
            # ComfyUI's executor did it.
            self._not_resident(Reason(error.node_id, error.node_type, error.message))
            return expected
        alike = turn.same(output, expected)
        if not alike or (expected is None and not same_texts(beside, context)):
            why = f"its first {turn.name} differs from the one of ComfyUI's executor"
            self._not_resident(Reason(*self._final(), why))
            return expected
        self.detail["checked"] = True
        if self._executor is not None:
            self._executor.close()
            self._executor = None
        return expected

    def _final(self) -> tuple[str, str]:
        """Id and type of the node that the result reaches."""
        workflow = self._workflow
        node_id = workflow.frame_output or workflow.sound_output or workflow.order[-1]
        return node_id, workflow.nodes[node_id].class_type

    def _load_resident(self) -> list[Reason]:
        """Returns what keeps it from being used."""
        classes = self._comfyui.nodes.NODE_CLASS_MAPPINGS
        reasons = why_not_resident(self._workflow, classes)
        if reasons:
            return reasons
        try:
            self._resident = load_resident(
                self._workflow,
                classes,
                self._comfyui.device,
                "comfyui",
                self._constants,
                self._comfyui.nodes.before_node_execution,
            )
        except NeedsExecutor as error:
            return [Reason(error.node_id, error.node_type, error.message)]
        self.detail.update(self._resident.detail)
        return []

    def _load_executor(self) -> ExecutorGraph:
        self._executor = ExecutorGraph(self._comfyui, self._workflow, self._prompt, self._constants)
        if self._resident is None:
            self.detail["live_nodes"] = self._executor.live_nodes
            self.detail["constant_nodes"] = self._executor.constant_nodes
        return self._executor

    def _by_executor(self) -> ExecutorGraph:
        """Loaded again when it is wanted again: the constants are still there."""
        return self._load_executor() if self._executor is None else self._executor

    def _not_resident(self, reason: Reason) -> None:
        _log.info(
            "ComfyUI's executor runs the workflow: node %s (%s): %s",
            reason.node_id,
            reason.node_type,
            reason.why,
        )
        self.detail["graph"] = "executor"
        self.detail["reasons"] = [
            *self.detail["reasons"],
            asdict(reason),
        ]
        executor = self._by_executor() if self._resident is not None else None
        self._drop_resident()
        if executor is not None:
            self.detail["live_nodes"] = executor.live_nodes
            self.detail["constant_nodes"] = executor.constant_nodes

    def _drop_resident(self) -> None:
        if self._resident is not None:
            self._resident.close()
            self._resident = None


def _random_state(device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), cuda


def _set_random_state(
    device: torch.device, state: tuple[torch.Tensor, torch.Tensor | None]
) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
