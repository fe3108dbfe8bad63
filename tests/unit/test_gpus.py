"""The driver's answers, as NVML gives them, and its failures. The library is scripted here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from control_plane.placement.devices import Gpu
from control_plane.placement.gpus import GpuError, NvmlGpus, Reading

GB = 1_000_000_000


class Nvml:
    """Two GPUs; the second one is split into two slices."""

    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self) -> None:
        self.open = 0
        self.fail: dict[str, int] = {}
        self.processes: dict[str, list[tuple[int, int | None]]] = {"GPU-a": [(11, GB), (12, None)]}

    def __getattr__(self, name: str) -> Any:
        return getattr(pynvml, name)  # error classes and constants

    def _check(self, call: str) -> None:
        if call in self.fail:
            raise pynvml.NVMLError(self.fail[call])

    def nvmlInit(self) -> None:
        self._check("init")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        self._check("count")
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"GPU-{'ab'[index]}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self._check(uuid)
        return uuid

    def nvmlDeviceGetMigMode(self, handle: str) -> tuple[int, int]:
        if handle == "GPU-a":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return (1, 1)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, number: int) -> str:
        if number not in (0, 3):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return f"MIG-{number}"

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:
        return handle.encode()

    def nvmlDeviceGetName(self, handle: str) -> str:
        return f"name of {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return SimpleNamespace(total=80 * GB, free=70 * GB, used=10 * GB)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        if handle.startswith("MIG"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=25, memory=3)

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> tuple[int, int]:
        if handle != "GPU-a":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return (9, 0)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        self._check("processes")
        listed = self.processes.get(handle, [])
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in listed]


@pytest.fixture
def nvml() -> Any:
    library = Nvml()
    yield library
    assert library.open == 0  # left as often as entered


def source(nvml: Nvml) -> NvmlGpus:
    return NvmlGpus(nvml)  # type: ignore[arg-type]


def test_a_split_gpu_is_listed_by_its_slices(nvml: Nvml) -> None:
    assert source(nvml).find() == [
        Gpu(0, "GPU-a", "name of GPU-a", 80 * GB, compute_capability=(9, 0)),
        Gpu(1, "MIG-0", "name of MIG-0", 80 * GB),
        Gpu(1, "MIG-3", "name of MIG-3", 80 * GB),
    ]


@pytest.mark.parametrize("code", ["LIBRARY_NOT_FOUND", "DRIVER_NOT_LOADED"])
def test_without_a_driver_there_is_no_gpu(nvml: Nvml, code: str) -> None:
    nvml.fail["init"] = getattr(pynvml, f"NVML_ERROR_{code}")
    assert source(nvml).find() == []


@pytest.mark.parametrize("call", ["init", "count"])
def test_a_driver_that_does_not_answer_is_an_error(nvml: Nvml, call: str) -> None:
    nvml.fail[call] = pynvml.NVML_ERROR_UNKNOWN
    with pytest.raises(GpuError, match="NVIDIA driver"):
        source(nvml).find()


def test_readings(nvml: Nvml) -> None:
    nvml.fail["GPU-lost"] = pynvml.NVML_ERROR_GPU_IS_LOST
    readings = source(nvml).read(["GPU-a", "MIG-0", "GPU-lost"])
    assert readings["GPU-a"] == Reading(
        80 * GB, 70 * GB, 0.25, {11: GB, 12: 0}, memory_utilisation=0.03
    )
    assert readings["MIG-0"] == Reading(80 * GB, 70 * GB, None, {})
    lost = readings["GPU-lost"]
    assert lost.memory_free is None and lost.error is not None and "lost" in lost.error.lower()


def test_processes_may_not_be_told(nvml: Nvml) -> None:
    nvml.fail["processes"] = pynvml.NVML_ERROR_NO_PERMISSION
    assert source(nvml).read(["GPU-a"])["GPU-a"].processes is None
    nvml.fail["init"] = pynvml.NVML_ERROR_UNKNOWN
    with pytest.raises(GpuError, match="does not answer"):
        source(nvml).read(["GPU-a"])
