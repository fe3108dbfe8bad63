"""What is known of the GPUs: which there are, and how full and how busy each is.

:class:`GpuSource` is all that the control plane asks of a driver, so that machines which are not
there can be simulated. :class:`NvmlGpus` is NVIDIA's driver (NVML); it makes no CUDA context.

Every call blocks, usually for some ms and at worst for as long as the driver likes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

from control_plane.placement.devices import Gpu

log = logging.getLogger(__name__)


class GpuError(Exception):
    """The driver does not answer as it should."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One GPU or MIG slice at one moment. Bytes; None is not known."""

    memory_total: int | None = None
    memory_free: int | None = None
    utilisation: float | None = None  # 0..1, of the time lately that something was computed
    # Device memory by pid. None: the driver does not tell. Inside a container its pids may be the
    # host's, so that ours are missing: what is not listed is not known to be gone.
    processes: Mapping[int, int] | None = None
    error: str | None = None  # the driver has no answer for this one
    memory_utilisation: float | None = None  # 0..1, of the time lately that memory was accessed


class GpuSource(Protocol):
    """A driver. Called from a thread of its own, one call at a time."""

    def find(self) -> list[Gpu]:
        """Every GPU, those in MIG mode by their slices. Empty: there is none. Raises GpuError."""

    def read(self, uuids: Sequence[str]) -> dict[str, Reading]:
        """How these are now. Raises GpuError when none can be asked."""


@dataclass(slots=True)
class NvmlGpus:
    """NVIDIA's driver. Its library is initialised and left again by every call: a driver that
    was reloaded, or a GPU that came back, is then seen without a restart of ours."""

    _nvml: ModuleType | None = field(default=None, repr=False)

    def find(self) -> list[Gpu]:
        nvml = self._load()
        try:
            nvml.nvmlInit()
        except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded) as error:
            log.info("no NVIDIA driver here: %s", error)
            return []
        except nvml.NVMLError as error:
            raise GpuError(f"the NVIDIA driver does not answer: {error}") from error
        try:
            return [
                Gpu(
                    index=index,
                    uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
                    name=_text(nvml.nvmlDeviceGetName(handle)),
                    memory_total=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
                    compute_capability=_compute_capability(nvml, index),
                )
                for index in range(nvml.nvmlDeviceGetCount())
                for handle in _handles(nvml, index)
            ]
        except nvml.NVMLError as error:
            raise GpuError(f"the NVIDIA driver cannot list its GPUs: {error}") from error
        finally:
            nvml.nvmlShutdown()

    def read(self, uuids: Sequence[str]) -> dict[str, Reading]:
        nvml = self._load()
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            raise GpuError(f"the NVIDIA driver does not answer: {error}") from error
        try:
            return {uuid: _read_one(nvml, uuid) for uuid in uuids}
        finally:
            nvml.nvmlShutdown()

    def _load(self) -> Any:
        if self._nvml is None:
            import pynvml  # here: a machine without GPUs need not load it before /health answers

            self._nvml = pynvml
        return self._nvml


def _handles(nvml: Any, index: int) -> list[Any]:
    """Of the GPU, or of its slices where it is split."""
    gpu = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(gpu)
    except nvml.NVMLError_NotSupported:
        return [gpu]
    if current != nvml.NVML_DEVICE_MIG_ENABLE:
        return [gpu]
    slices = []
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            slices.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number))
        except nvml.NVMLError_NotFound:
            continue  # an empty place
    return slices


def _compute_capability(nvml: Any, index: int) -> tuple[int, int] | None:
    """Of the GPU: all its slices have the same."""
    gpu = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(gpu)
    except nvml.NVMLError:
        return None  # streams do not need to know it
    return int(major), int(minor)


def _read_one(nvml: Any, uuid: str) -> Reading:
    try:  # NVML takes the UUIDs of MIG slices here as well
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError as error:
        return Reading(error=str(error))
    computing, accessing = _utilisation(nvml, handle)
    return Reading(
        memory_total=int(memory.total),
        memory_free=int(memory.free),
        utilisation=computing,
        processes=_processes(nvml, handle),
        memory_utilisation=accessing,
    )


def _utilisation(nvml: Any, handle: Any) -> tuple[float | None, float | None]:
    try:
        rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    except nvml.NVMLError:
        return None, None  # a MIG slice has none
    return float(rates.gpu) / 100.0, float(rates.memory) / 100.0


def _processes(nvml: Any, handle: Any) -> dict[int, int] | None:
    try:
        listed = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return None  # not supported, or not permitted
    return {int(p.pid): int(p.usedGpuMemory or 0) for p in listed}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
