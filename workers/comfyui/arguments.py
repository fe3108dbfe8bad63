"""ComfyUI's command line, set before anything of it looks: which device, where results lie.

It decides most when comfy.model_management is imported, from comfy.cli_args.args.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import torch

from comfytrickle.errors import WorkerError
from comfytrickle.messages import EngineConfig
from comfytrickle.sizes import show_bytes

# From here on a diffusion model, its text encoders and its VAE usually
# stay on the device together, which is what --gpu-only asks for.
GPU_ONLY_BYTES = 16 * 10**9


def set_arguments(cli_args: ModuleType, config: EngineConfig, root: Path) -> str:
    """Fill in ``cli_args.args``. Returns what was decided about memory and why, for people.

    Raises WorkerError when the device cannot be used.
    """
    args = cli_args.args
    # Nothing is served: this only keeps it from looking for (and downloading) its web page.
    args.front_end_root = str(root)
    args.disable_api_nodes = True
    device = _device(config.device)
    if device.type == "cpu":
        args.cpu = True
        return "on the CPU"
    torch.cuda.set_device(device)  # ComfyUI goes by the current device
    free, _ = torch.cuda.mem_get_info(device)
    limit = free if config.memory_limit is None else min(free, config.memory_limit)
    args.gpu_only = keeps_all_on_gpu(limit)
    relation = "at least" if args.gpu_only else "less than"
    return (
        f"{'gpu_only' if args.gpu_only else 'offloading'}: {show_bytes(limit)} of device memory, "
        f"{relation} {show_bytes(GPU_ONLY_BYTES)}"
    )


def keeps_all_on_gpu(available: int) -> bool:
    """Do models and intermediate results all stay on a GPU with so many bytes for this worker? If
    not, ComfyUI offloads models, and pictures between nodes are in the machine's memory."""
    return available >= GPU_ONLY_BYTES


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise WorkerError(f"{name!r} is no torch device: {error}") from None
    if device.type not in ("cpu", "cuda"):
        raise WorkerError(f"device {name}: ComfyUI is run on cpu or cuda only")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise WorkerError(f"device {name} is not there: torch {torch.__version__} sees no CUDA")
    return device
