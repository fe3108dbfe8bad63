"""The GPUs as ai-runner tells them (HardwareInformation, HardwareStats of its openapi.yaml). Pure.

Keys count from "0" in the order of our devices. Bytes and whole per cent; what the driver does not
tell is None. CPU slots are not listed: they have no memory of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from control_plane.placement.devices import Device
from control_plane.placement.gpus import Reading

ReadingOf = Callable[[Device], "Reading | None"]


def gpu_info(devices: Iterable[Device], reading_of: ReadingOf) -> dict[str, dict[str, Any]]:
    """What each is: ``id, name, memory_total, memory_free, major, minor``."""
    listed = {}
    for number, (device, reading) in _gpus(devices, reading_of):
        major, minor = device.compute_capability or (None, None)
        listed[number] = {**_common(device, reading), "major": major, "minor": minor}
    return listed


def gpu_stats(devices: Iterable[Device], reading_of: ReadingOf) -> dict[str, dict[str, Any]]:
    """How busy each is: ``id, name, memory_total, memory_free, utilization_compute,
    utilization_memory``."""
    return {
        number: {
            **_common(device, reading),
            "utilization_compute": _per_cent(reading.utilisation),
            "utilization_memory": _per_cent(reading.memory_utilisation),
        }
        for number, (device, reading) in _gpus(devices, reading_of)
    }


def _gpus(
    devices: Iterable[Device], reading_of: ReadingOf
) -> list[tuple[str, tuple[Device, Reading]]]:
    gpus = [device for device in devices if not device.is_cpu]
    return [(str(n), (gpu, reading_of(gpu) or Reading())) for n, gpu in enumerate(gpus)]


def _common(device: Device, reading: Reading) -> dict[str, Any]:
    return {
        "id": device.id,
        "name": device.name,
        "memory_total": reading.memory_total or device.memory_total,
        "memory_free": reading.memory_free,
    }


def _per_cent(share: float | None) -> int | None:
    return None if share is None else round(100 * share)
