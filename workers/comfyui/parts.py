"""A workflow divided into what depends on a frame, what does not, and who computes the latter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from comfytrickle.workflow.graph import ancestors
from comfytrickle.workflow.model import Workflow
from workers.engine.constant_part import Described, describe
from workers.engine.contracts import change_function, is_async
from workers.engine.needed import live_nodes, needed_nodes
from workers.engine.plan import Plan
from workers.engine.spec import NodeSpec, read_spec
from workers.engine.ways import features

_ASKED_LATER = ("lazy", "rawLink")


@dataclass(frozen=True, slots=True)
class Parts:
    """Sets of node ids; of needed nodes only.

    ``constant``: give the same for each frame and run in any case. ``shared``: of these, those that
    need no executor; their outputs are shared with other workflows. ``still``: not behind the
    frame; they may give something new all the same. ``plan`` is for ``shared`` as its constant
    part.
    """

    described: Described
    plan: Plan
    needed: frozenset[str]
    constant: frozenset[str]
    shared: frozenset[str]
    still: frozenset[str]


def divide(
    workflow: Workflow, classes: Mapping[str, Any], own: frozenset[str] = frozenset()
) -> Parts:
    """``own``: ids of nodes that turned out to need the executor. Raises what a class's
    INPUT_TYPES raises.

    A node that is reached through lazy inputs alone is not constant: it may never be asked for.
    """
    needed = needed_nodes(workflow, classes)
    specs = {node_id: _spec(workflow, node_id, classes) for node_id in needed}
    apart = needed - _asked_for(workflow, specs)
    apart |= {i for i, spec in specs.items() if is_async(change_function(spec.cls))}
    described = describe(workflow, classes, beside=frozenset(apart))
    constant = {step.node_id for step in described.plan().constant}
    own |= {i for i, spec in specs.items() if features(workflow.nodes[i], spec)}
    answers = {i: answer for i, answer in described.answers.items() if i not in own}
    sharing = replace(described, answers=answers)
    plan = sharing.plan()
    return Parts(
        sharing,
        plan,
        frozenset(needed),
        frozenset(constant),
        frozenset(step.node_id for step in plan.constant),
        frozenset(needed - live_nodes(workflow, needed, ())),
    )


def _spec(workflow: Workflow, node_id: str, classes: Mapping[str, Any]) -> NodeSpec:
    class_type = workflow.nodes[node_id].class_type
    return read_spec(class_type, classes[class_type])


def _asked_for(workflow: Workflow, specs: Mapping[str, NodeSpec]) -> set[str]:
    """The nodes that run whatever a lazy node decides."""
    sources: dict[str, list[str]] = {}
    for link in workflow.links:
        spec = specs.get(link.target)
        declared = None if spec is None else spec.input(link.name)
        options = {} if declared is None else declared.options
        if not any(options.get(name) for name in _ASKED_LATER):
            sources.setdefault(link.target, []).append(link.source)
    roots = [node_id for node_id, spec in specs.items() if spec.is_output]
    return ancestors(roots, sources) & specs.keys()
