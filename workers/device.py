"""The GPU of this worker: a limit on its memory, what is taken of it, whether it still works."""

from __future__ import annotations

import torch

from comfytrickle.errors import ComfytrickleError


class DeviceFailed(ComfytrickleError):
    """The device does nothing any more for this process; only a new one may fare better."""


def limit_device_memory(device: str, limit: int) -> None:
    """Let torch's pool take at most ``limit`` bytes of a CUDA device; beyond it raises
    torch.OutOfMemoryError. The context itself (some 500 MB) is not in it. Initialises CUDA.

    Nothing happens for another kind of device, or one that is not there.
    """
    wanted = torch.device(device)
    if wanted.type != "cuda" or not torch.cuda.is_available():
        return
    total = torch.cuda.get_device_properties(wanted).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total), wanted)


def device_memory() -> int | None:
    """The most that torch's pool has held, in bytes. None where there is no GPU in use."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return int(torch.cuda.max_memory_reserved())


def device_problem() -> str | None:
    """After an error: is the device the matter? A fatal CUDA error (an illegal access, an assertion
    in a kernel, a lost GPU) meets every later call too, so asking for any tells. None: it works,
    or this process uses none. (Not the engine's device: with ComfyUI that may be the CPU, while
    its models run on the GPU.)
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:  # torch.AcceleratorError is one
        return str(error).partition("\n")[0]
    return None
