"""One call of a node, V1 or V3, for each row of its inputs; and what comes of it."""

import inspect

import nodes
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.inputs import rows


async def call_rows(obj, function, columns, hidden, async_nodes, on_block=None):
    """What each call returned; a row with a blocker among its values returns that blocker."""
    whole = bool(getattr(obj, "INPUT_IS_LIST", False))
    results = []
    for row in rows(columns, whole):
        nodes.before_node_execution()
        values = [v for column in row.values() for v in column] if whole else row.values()
        block = next((v for v in values if isinstance(v, ExecutionBlocker)), None)
        if block is not None:
            results.append(on_block(block) if on_block else block)
            continue
        target = obj
        if hasattr(obj, "PREPARE_CLASS_CLONE"):
            target = obj.PREPARE_CLASS_CLONE(hidden)
        result = getattr(target, function)(**row)
        if async_nodes and inspect.isawaitable(result):
            result = await result
        results.append(result)
    return results


def as_parts(result, width):
    """``(outputs or None, graph to expand or None, ui or None)`` of what a node returned."""
    expand = ui = None
    if hasattr(result, "block_execution"):  # V3's NodeOutput
        expand, ui = result.expand, result.ui
        blocked = result.block_execution
        result = ExecutionBlocker(blocked) if blocked is not None else result.result
    elif isinstance(result, dict):
        expand, ui, result = result.get("expand"), result.get("ui"), result.get("result")
    if isinstance(result, ExecutionBlocker):
        result = (result,) * width
    return result, expand, ui


def merged(results, cls):
    """One list of values for each output."""
    flags = list(getattr(cls, "OUTPUT_IS_LIST", None) or [])
    width = len(results[0]) if results else 0
    outputs = []
    for i in range(width):
        values = []
        for result in results:
            listed = i < len(flags) and flags[i] and not isinstance(result[i], ExecutionBlocker)
            values.extend(result[i] if listed else [result[i]])
        outputs.append(values)
    return outputs
