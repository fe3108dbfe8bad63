"""ai-runner's /hardware answers from devices and readings."""

from __future__ import annotations

import msgspec

from control_plane.placement.devices import Device
from control_plane.placement.gpus import Reading
from control_plane.shapes import told
from control_plane.shapes.hardware import gpu_info, gpu_stats

GB = 1_000_000_000
H200 = Device("GPU-a", "NVIDIA H200", 2, 140 * GB, "cuda:0", (9, 0))
SLICE = Device("MIG-b", "NVIDIA H200 MIG 1g.18gb", 1, 18 * GB, "cuda:0")
CPU = Device("cpu:0", "CPU")
READ = Reading(141 * GB, 100 * GB, 0.254, memory_utilisation=0.03)


def reading(device: Device) -> Reading | None:
    return READ if device is H200 else None


def test_what_the_gpus_are() -> None:
    listed = gpu_info([CPU, H200, SLICE], reading)
    assert listed == {
        "0": {"id": "GPU-a", "name": "NVIDIA H200", "memory_total": 141 * GB,
              "memory_free": 100 * GB, "major": 9, "minor": 0},
        "1": {"id": "MIG-b", "name": "NVIDIA H200 MIG 1g.18gb", "memory_total": 18 * GB,
              "memory_free": None, "major": None, "minor": None},
    }  # fmt: skip
    msgspec.convert(listed, dict[str, told.GpuInfo])


def test_how_busy_they_are() -> None:
    listed = gpu_stats([H200, SLICE], reading)
    shown = [(g["utilization_compute"], g["utilization_memory"]) for g in listed.values()]
    assert shown == [(25, 3), (None, None)]
    assert listed["0"]["memory_free"] == 100 * GB
    msgspec.convert(listed, dict[str, told.GpuStats])


def test_a_machine_without_gpus_has_none() -> None:
    assert gpu_info([CPU], reading) == gpu_stats([CPU], reading) == {}
