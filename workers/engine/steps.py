"""One node bound for calling, and the loop that calls them: what a frame costs is in here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workers.engine.contracts import build_node
from workers.engine.failures import BLOCKS, BadResult, NeedsExecutor, node_failure, unpack
from workers.engine.plan import Step
from workers.engine.protocol import NodeFailed


@dataclass(slots=True)
class BoundStep:
    """A step of the plan with its node built and its constant inputs at hand."""

    node_id: str
    class_type: str
    call: Callable[..., Any]
    constants: dict[str, Any]
    links: tuple[tuple[str, int], ...]
    arity: int
    stores: tuple[tuple[int, int], ...]
    release: tuple[int, ...]


def bind(step: Step) -> BoundStep:
    """Raises NodeFailed when the node cannot be built."""
    try:
        call, hidden = build_node(step.spec.cls, step.hidden)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the node's own code; reported
        failure = node_failure(step.node_id, step.spec.class_type, error)
    else:
        return BoundStep(
            step.node_id,
            step.spec.class_type,
            call,
            {**step.literals, **hidden},
            step.links,
            len(step.spec.returns),
            step.stores,
            step.release,
        )
    raise failure


# Called before each node; raises when the run is to end there.
Look = Callable[[], None]


def run_steps(steps: Sequence[BoundStep], values: list[Any], look: Look | None = None) -> None:
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
            if look is not None:
                look()
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
                    raise BadResult(BLOCKS)
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


def all_outputs(
    step: BoundStep, values: Sequence[Any], look: Look | None = None
) -> tuple[Any, ...]:
    """Call one node with what is in its slots, and return its outputs, also those that nobody
    reads. Raises NodeFailed."""
    try:
        if look is not None:
            look()
        arguments = {name: values[slot] for name, slot in step.links}
        return tuple(unpack(step.call(**step.constants, **arguments), step.arity))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the node's own code; reported
        failure = node_failure(step.node_id, step.class_type, error)
    raise failure


def refuse_blocker(node_id: str, class_type: str, value: Any) -> None:
    """Raises NeedsExecutor for an ExecutionBlocker."""
    if type(value).__name__ == "ExecutionBlocker":
        raise NeedsExecutor(node_id, class_type, BLOCKS)
