"""What ComfyUI's executor reports about a failed run, as NodeFailed. No tensor is ever printed."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from comfytrickle.sizes import show_bytes
from workers.comfyui.stream_nodes import StreamNodes
from workers.engine.failures import INTERRUPTED
from workers.engine.protocol import NodeFailed
from workers.limits import memory_available, memory_left

_MAX_MESSAGE = 1000
_MAX_TRACEBACK = 8000
_MACHINE_IS_FULL = ("MemoryError", "DefaultCPUAllocator: can't allocate")
# torch's message brings all figures with it.
_DEVICE_IS_FULL = ("OutOfMemoryError", "CUDA out of memory", "CUDA error: out of memory")


def run_failure(
    messages: Sequence[tuple[str, Mapping[str, Any]]], names: StreamNodes
) -> NodeFailed | None:
    """The executor's ``status_messages`` after a run without success. None: there is no word of it.

    ``current_inputs`` is left out: it prints whole tensors.
    """
    for event, data in messages:
        if event not in ("execution_error", "execution_interrupted"):
            continue
        node_id = str(data.get("node_id"))
        node_type = names.original(str(data.get("node_type")))
        if event == "execution_interrupted":
            return NodeFailed(node_id, node_type, INTERRUPTED, interrupted=True)
        lines = "".join(data.get("traceback") or ())
        if len(lines) > _MAX_TRACEBACK:
            lines = "... " + lines[-_MAX_TRACEBACK:]
        message = _message(data)
        of_machine = any(sign in message for sign in _MACHINE_IS_FULL)
        of_device = any(sign in message for sign in _DEVICE_IS_FULL)
        if of_machine and not of_device:
            left = memory_left()
            figures = (
                f"the machine has {show_bytes(memory_available())} left"
                if left is None
                else f"this worker may take {show_bytes(left)} more"
            )
            message += f" (out of memory: {figures})"
        return NodeFailed(node_id, node_type, message, lines, out_of_memory=of_machine or of_device)
    return None


def exit_failure(error: SystemExit, names: StreamNodes) -> NodeFailed:
    """A node has called sys.exit; the executor was at work in a function that knows the node."""
    node_id = node_type = "unknown"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        told = frame.f_locals
        if frame.f_code.co_name == "execute" and {"unique_id", "class_type"} <= told.keys():
            node_id, node_type = str(told["unique_id"]), names.original(str(told["class_type"]))
    lines = "".join(traceback.format_tb(error.__traceback__))[-_MAX_TRACEBACK:]
    return NodeFailed(node_id, node_type, f"SystemExit: {error}", lines)


def _message(data: Mapping[str, Any]) -> str:
    name = str(data.get("exception_type") or "Exception").rpartition(".")[2]
    # ComfyUI adds advice for its own user, who starts a run by hand.
    text = str(data.get("exception_message") or "").partition("\nTIPS:")[0].strip()
    text = text.removesuffix("This error means you ran out of memory on your GPU.").strip()
    message = f"{name}: {text}" if text else name
    return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + " ..."
