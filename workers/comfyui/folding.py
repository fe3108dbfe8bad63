"""What ComfyUI's executor is given for each frame, with all that is known beforehand folded.

The executor hashes every node's whole ancestry for every frame, so a node whose outputs are known
is taken out, and what reads it reads a constant node in its place. Constants come from the same
store as the resident graph's; those that only the executor can compute are run by it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from comfytrickle.workflow.model import STREAM_INPUTS, Workflow, is_link
from workers.comfyui.executor import Executor, Prompt
from workers.comfyui.parts import Parts
from workers.comfyui.stream_nodes import Passage, StreamNodes
from workers.engine.constant_part import held_values
from workers.engine.constants import Lease
from workers.engine.steps import Look

Output = tuple[str, int]  # (node id, which)
_SEE_ALL = frozenset({"PROMPT", "DYNPROMPT"})


@dataclass(frozen=True, slots=True)
class FramePrompt:
    """What is run for each frame. ``keep``: nodes whose results may serve for the next one;
    ``live_nodes``, ``constant_nodes``: how many of the workflow's are in it, or folded."""

    prompt: Prompt
    outputs: tuple[str, ...]
    keep: tuple[str, ...]
    live_nodes: int
    constant_nodes: int


class Folding:
    """Builds prompts for one workflow. ``prompt`` is as validation left it: values converted."""

    def __init__(
        self,
        workflow: Workflow,
        prompt: Prompt,
        parts: Parts,
        names: StreamNodes,
        passage: Passage,
    ) -> None:
        self._workflow = workflow
        self._prompt = prompt
        self._parts = parts
        self._names = names
        self._passage = passage
        self._ran_all = False

    def take_shared(self, lease: Lease, device: torch.device, look: Look) -> None:
        """Compute the constants that need no executor, or take them from the store. Raises
        NodeFailed, NeedsExecutor (a constant node returned what only the executor can follow)."""
        plan = self._parts.plan
        values = held_values(plan, self._parts.described.answers, lease, device, look)
        for step in plan.constant:
            for output, slot in step.stores:
                if slot in values:
                    self._know(step.node_id, output, [values[slot]])

    def run_constants(self, executor: Executor) -> None:
        """Run the constants that only the executor can compute. Raises NodeFailed.

        When it does not get to all of them (ComfyUI can block a part of a graph), they stay for
        the frames.
        """
        rest = self._parts.constant - self._parts.shared
        outputs = [i for i in rest if self._parts.described.specs[i].is_output]
        prompt = self._nodes(rest)
        wanted = self._read_from(rest)
        for node_id, output in wanted:
            keep_id = f"{node_id}:{output}:keep"
            inputs = {"value": [node_id, output], "node": node_id, "output": output}
            prompt[keep_id] = {"class_type": self._names.keep, "inputs": inputs}
            outputs.append(keep_id)
        if outputs:
            executor.run(prompt, outputs)
        kept = self._passage.kept
        self._passage.clear()
        self._ran_all = len(kept) == len(wanted)
        if self._ran_all:
            for (node_id, output), values in kept.items():
                self._know(node_id, output, values)

    def frame_prompt(self) -> FramePrompt:
        """After the constants."""
        parts = self._parts
        known = self._passage.constants
        folded = parts.constant if self._ran_all else parts.shared
        running = parts.needed - folded
        prompt = self._nodes(running)
        keep = [i for i in prompt if i in running & parts.still]
        if keep:
            keep += [_constant_id(i) for i in known if _constant_id(i) in prompt]
        specs = parts.described.specs
        outputs = [i for i in running if specs[i].is_output]
        return FramePrompt(prompt, tuple(outputs), tuple(keep), len(running), len(folded))

    def _know(self, node_id: str, output: int, values: list[Any]) -> None:
        known = self._passage.constants.setdefault(node_id, [])
        known += [[] for _ in range(output + 1 - len(known))]
        known[output] = values

    def _read_from(self, ids: Iterable[str]) -> list[Output]:
        """Outputs of these nodes that needed nodes read which are not constant."""
        parts = self._parts
        sources = set(ids)
        found = {
            (link.source, link.output): None
            for link in self._workflow.links
            if link.source in sources
            and link.target in parts.needed
            and link.target not in parts.constant
            and self._workflow.nodes[link.target].class_type not in STREAM_INPUTS
        }
        return list(found)

    def _nodes(self, running: set[str] | frozenset[str]) -> dict[str, dict[str, Any]]:
        """These nodes in API format, and constant nodes for what is known of the others. Where one
        of them looks at the whole prompt, the others are there to be seen."""
        specs = self._parts.described.specs
        sees_all = any(_SEE_ALL & set(map(str, specs[i].hidden().values())) for i in running)
        known = self._passage.constants
        nodes: dict[str, dict[str, Any]] = {}
        used: dict[str, None] = {}
        for node_id, node in self._prompt.items():
            if node_id not in running and not sees_all:
                continue
            inputs = {}
            for name, value in node["inputs"].items():
                if is_link(value):
                    if node["class_type"] in STREAM_INPUTS:
                        continue  # the engine supplies it, whatever is linked there
                    if value[0] in known and value[0] not in running:
                        used[value[0]] = None
                        value = [_constant_id(value[0]), value[1]]
                inputs[name] = value
            class_type = self._names.name(node["class_type"])
            nodes[node_id] = {**node, "class_type": class_type, "inputs": inputs}
        for node_id in used:
            inputs = {"node": node_id}
            nodes[_constant_id(node_id)] = {"class_type": self._names.constant, "inputs": inputs}
        return nodes


def _constant_id(node_id: str) -> str:
    return f"{node_id}:constant"
