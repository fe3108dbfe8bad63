"""A workflow compiled to a flat list of steps. Pure: nothing is instantiated or run here.

Every node output that somebody reads has a slot in one list of values; slot 0 is the frame, slot 1
the sound. A step knows from which slots its inputs come, into which its outputs go, and which slots
nobody reads after it. There are two lists: the constant steps run once, the live steps for each
frame, or for each piece of sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfytrickle.workflow.model import (
    LOAD_AUDIO_TENSOR,
    LOAD_TENSOR,
    SAVE_AUDIO_TENSOR,
    SAVE_TENSOR,
    STREAM_INPUTS,
    STREAM_OUTPUTS,
    Node,
    Workflow,
    is_link,
    unwrap_value,
)
from workers.engine.contracts import HIDDEN_NONE, accepts_all
from workers.engine.needed import live_nodes
from workers.engine.spec import NodeSpec, convert_literal

FRAME_SLOT = 0
SOUND_SLOT = 1
_SUPPLIED = {LOAD_TENSOR: FRAME_SLOT, LOAD_AUDIO_TENSOR: SOUND_SLOT}
_RESULTS = {SAVE_TENSOR: "images", SAVE_AUDIO_TENSOR: "audio"}


@dataclass(frozen=True, slots=True)
class Step:
    """One call of one node."""

    node_id: str
    spec: NodeSpec
    literals: Mapping[str, Any]  # arguments that are the same for each frame
    hidden: Mapping[str, Any]  # hidden inputs, which the contracts pass in their own ways
    links: tuple[tuple[str, int], ...]  # (argument, slot)
    stores: tuple[tuple[int, int], ...]  # (output, slot), for outputs that somebody reads
    release: tuple[int, ...]  # slots that nobody reads after this step


@dataclass(frozen=True, slots=True)
class Taken:
    """A node of the stream that is not called: the engine takes what reaches it."""

    node_id: str
    class_type: str
    literals: Mapping[str, Any]
    links: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """``held``: slots filled by constant steps that live steps or the outputs read. ``output``: the
    node that the result reaches, None where there are only texts; ``result``: its slot."""

    constant: tuple[Step, ...]
    live: tuple[Step, ...]
    slots: int
    reads_sound: bool
    held: frozenset[int]
    output: Taken | None
    result: int
    taken: tuple[Taken, ...]  # the stream's other outputs
    live_nodes: int
    constant_nodes: int


def make_plan(
    workflow: Workflow,
    specs: Mapping[str, NodeSpec],
    changing: frozenset[str],
    api: Mapping[str, Any],
) -> Plan:
    """``specs``: node id -> spec of every node that runs (a workflow without errors);
    ``changing``: ids of nodes whose IS_CHANGED says that they give something new each time;
    ``api``: the workflow in API format, for nodes that want to see it."""
    live = live_nodes(workflow, specs, changing)
    order = [node_id for node_id in workflow.order if node_id in specs]
    slots = _assign_slots(workflow, specs)
    outputs: dict[str, list[tuple[int, int]]] = {}
    for (source, output), slot in slots.items():
        outputs.setdefault(source, []).append((output, slot))
    taken: list[Taken] = []
    drafts: list[Step] = []
    for node_id in order:
        node = workflow.nodes[node_id]
        if node.class_type in STREAM_INPUTS:
            continue
        links = tuple(
            (name, slots[value[0], value[1]])
            for name, value in node.inputs.items()
            if is_link(value)
        )
        literals = literal_arguments(node, specs[node_id])
        if node.class_type in STREAM_OUTPUTS:
            taken.append(Taken(node_id, node.class_type, literals, links))
            continue
        stores = tuple(outputs.get(node_id, ()))
        hidden = hidden_values(node, specs[node_id], api)
        drafts.append(Step(node_id, specs[node_id], literals, hidden, links, stores, ()))

    constant = [step for step in drafts if step.node_id not in live]
    running = [step for step in drafts if step.node_id in live]
    produced = {slot for step in constant for _, slot in step.stores}
    read_later = {slot for step in running for _, slot in step.links}
    read_later |= {slot for end in taken for _, slot in end.links}
    held = frozenset(produced & read_later)
    kept = {slot for end in taken for _, slot in end.links} | held
    output_id = workflow.frame_output or workflow.sound_output
    final = next((end for end in taken if end.node_id == output_id), None)
    return Plan(
        constant=tuple(constant),
        live=_with_releases(running, frozenset(kept)),
        slots=1 + max(SOUND_SLOT, *slots.values()),
        reads_sound=SOUND_SLOT in slots.values(),
        held=held,
        output=final,
        result=-1 if final is None else dict(final.links)[_RESULTS[final.class_type]],
        taken=tuple(end for end in taken if end is not final),
        live_nodes=sum(1 for node_id in order if node_id in live),
        constant_nodes=sum(1 for node_id in order if node_id not in live),
    )


def literal_arguments(node: Node, spec: NodeSpec) -> dict[str, Any]:
    """The inputs of a node that are no links. Those that are declared are converted; those that
    are not are left out, but for a hidden input of V1 that a front end filled."""
    arguments: dict[str, Any] = {}
    hidden = {} if spec.v3 else spec.hidden()
    for name, raw in node.inputs.items():
        if is_link(raw):
            continue
        declared = spec.input(name)
        if declared is not None:
            arguments[name] = convert_literal(declared.type, unwrap_value(raw))
        elif name in hidden or accepts_all(spec.cls):
            arguments[name] = raw
    return arguments


def hidden_values(node: Node, spec: NodeSpec, api: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine supplies beside the inputs. ``api``: the workflow in API format."""
    values: dict[str, Any] = {}
    for name, wanted in spec.hidden().items():
        if wanted == "UNIQUE_ID":
            values[name] = node.id
        elif wanted == "PROMPT":
            values[name] = api
        elif isinstance(wanted, str) and wanted in HIDDEN_NONE:
            values[name] = None
    return values


def _assign_slots(workflow: Workflow, specs: Mapping[str, NodeSpec]) -> dict[tuple[str, int], int]:
    slots: dict[tuple[str, int], int] = {}
    free = SOUND_SLOT + 1
    for link in workflow.links:
        key = (link.source, link.output)
        target = workflow.nodes[link.target]
        if link.target not in specs or target.class_type in STREAM_INPUTS:
            continue
        supplied = _SUPPLIED.get(workflow.nodes[link.source].class_type)
        if supplied is not None:
            slots[key] = supplied
        elif key not in slots:
            slots[key] = free
            free += 1
    return slots


def _with_releases(steps: list[Step], keep: frozenset[int]) -> tuple[Step, ...]:
    last_reader: dict[int, str] = {}
    for step in steps:
        for _, slot in step.links:
            last_reader[slot] = step.node_id
    return tuple(
        Step(
            step.node_id,
            step.spec,
            step.literals,
            step.hidden,
            step.links,
            step.stores,
            tuple(
                slot
                for slot in dict.fromkeys(slot for _, slot in step.links)
                if last_reader[slot] == step.node_id and slot not in keep
            ),
        )
        for step in steps
    )
