"""What the NVIDIA driver says about the GPUs (NVML). It makes no CUDA context.

Blocks for up to some 100 ms: call it in a thread.
"""

from __future__ import annotations

import logging

from control_plane.devices import Gpu

log = logging.getLogger(__name__)


def list_gpus() -> list[Gpu]:
    """All GPUs, those in MIG mode by their slices. Empty where there is no NVIDIA driver.

    Raises pynvml.NVMLError when there is a driver that does not answer.
    """
    import pynvml  # here: a machine without GPUs need not load it before /health answers

    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded) as error:
        log.info("no NVIDIA driver here: %s", error)
        return []
    try:
        gpus: list[Gpu] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            slices = _mig_slices(pynvml, handle, index)
            gpus.extend(slices if slices is not None else [_gpu(pynvml, handle, index)])
        return gpus
    finally:
        pynvml.nvmlShutdown()


def _gpu(pynvml, handle, index: int) -> Gpu:  # type: ignore[no-untyped-def]
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_total=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
    )


def _mig_slices(pynvml, handle, index: int) -> list[Gpu] | None:  # type: ignore[no-untyped-def]
    """None when the GPU is not split."""
    try:
        current, _pending = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError_NotSupported:
        return None
    if current != pynvml.NVML_DEVICE_MIG_ENABLE:
        return None
    slices = []
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except pynvml.NVMLError_NotFound:
            continue  # an empty place
        slices.append(_gpu(pynvml, mig, index))
    return slices


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
