"""What can be wrong with what a node returned or raised, in words. No tensor is ever printed."""

from __future__ import annotations

import inspect
import traceback
from typing import Any

import torch

from comfytrickle.sizes import show_bytes
from workers.engine.protocol import NodeFailed
from workers.limits import memory_available, memory_left

_MAX_MESSAGE = 1000
INTERRUPTED = "interrupted"
_MAX_TRACEBACK = 8000
_CHANNELS = (1, 3, 4)
_EXPANDS = "it expands into a subgraph, which this engine cannot do"
BLOCKS = "it returned an ExecutionBlocker, which this engine cannot do"
_DEVICE_IS_FULL = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class BadResult(Exception):
    """A node returned what its RETURN_TYPES do not promise, or what only an executor can follow."""


class NeedsExecutor(NodeFailed):
    """The resident graph cannot go on with what a node returned; ComfyUI's executor has its own
    rules for it. It would come again with the next frame."""


def node_failure(node_id: str, class_type: str, error: BaseException) -> NodeFailed:
    """The error as text; it holds no reference to the frames it came through."""
    if isinstance(error, BadResult):
        return NeedsExecutor(node_id, class_type, str(error))
    name = type(error).__name__
    if name == "InterruptProcessingException":  # ComfyUI's, see Engine.interrupt
        return NodeFailed(node_id, class_type, INTERRUPTED, interrupted=True)
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - an exception class that cannot print itself
        text = f"(its message cannot be read: {type(second).__name__})"
    message = _clip(f"{name}: {text}" if text else name, _MAX_MESSAGE)
    of_machine, of_device = _wants_machine_memory(error, text), _wants_device_memory(error, text)
    if of_machine:
        message += f" ({_machine_figures()})"
    # The first entry is the loop of the engine.
    lines = traceback.format_tb(error.__traceback__)[1:]
    return NodeFailed(
        node_id,
        class_type,
        message,
        _clip_front("".join(lines)),
        out_of_memory=of_machine or of_device,
    )


def _wants_machine_memory(error: BaseException, text: str) -> bool:
    """torch's error for that has no class of its own."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate" in text


def _wants_device_memory(error: BaseException, text: str) -> bool:
    """torch's own class brings all figures with it. What libraries ask the driver for past torch's
    pool fails with a RuntimeError, told by its text only."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _DEVICE_IS_FULL)
    )


def _machine_figures() -> str:
    left = memory_left()
    if left is not None:
        return f"out of memory: this worker may take {show_bytes(left)} more"
    return f"out of memory: the machine has {show_bytes(memory_available())} left"


def unpack(result: Any, arity: int) -> tuple[Any, ...] | list[Any]:
    """The outputs in what a node returned: a tuple, a list, a dict with "result", or V3's
    NodeOutput (a node without outputs may return anything). Raises BadResult."""
    kind = type(result).__name__
    if isinstance(result, dict):
        if "expand" in result:
            raise BadResult(_EXPANDS)
        return unpack(result["result"], arity) if "result" in result else unpack((), arity)
    if hasattr(result, "block_execution"):
        if result.expand is not None:
            raise BadResult(_EXPANDS)
        if result.block_execution is not None:
            raise BadResult(BLOCKS)
        return unpack(() if result.result is None else result.result, arity)
    if kind == "ExecutionBlocker":
        raise BadResult(BLOCKS)
    if inspect.iscoroutine(result):
        result.close()
        raise BadResult("it is asynchronous, which this engine cannot do")
    if arity == 0:
        return ()
    if not isinstance(result, tuple | list):
        raise BadResult(f"it returned {kind}, not a tuple of {arity}")
    if len(result) != arity:
        raise BadResult(f"it returned {len(result)} outputs; its RETURN_TYPES promise {arity}")
    return result


def bad_image(value: Any) -> str | None:
    """Why this cannot leave as a picture, or None: a float tensor [B, H, W, C], C 1, 3 or 4."""
    if not isinstance(value, torch.Tensor):
        return f"got {type(value).__name__}, not an image"
    shape = value.shape
    if len(shape) != 4 or shape[3] not in _CHANNELS or 0 in shape:
        return f"got a tensor of shape {list(shape)}, not [batch, height, width, 1 or 3 or 4]"
    if not value.is_floating_point():
        return f"got an image of {value.dtype}, not of floats"
    return None


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + " ..."


def _clip_front(text: str) -> str:
    return text if len(text) <= _MAX_TRACEBACK else "... " + text[-_MAX_TRACEBACK:]
