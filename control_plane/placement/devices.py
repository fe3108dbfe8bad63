"""Which devices there are, and how an operator names them.

A device is a GPU or a MIG slice (named by UUID, so that a renumbering cannot move a stream) or a
CPU slot. Who gets one is decided in :mod:`control_plane.placement.placement`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from comfytrickle.errors import InvalidInput

FIELD = "devices"


@dataclass(frozen=True)
class Device:
    """Where workers can be pinned. ``id``: a GPU's UUID, or ``cpu:<n>``."""

    id: str
    name: str
    slots: int = 1
    memory_total: int | None = None  # bytes; None for a CPU slot
    torch_device: str = "cpu"  # what torch calls it in a worker that sees this device only
    compute_capability: tuple[int, int] | None = None  # CUDA's, major and minor

    @property
    def is_cpu(self) -> bool:
        """Nobody measures it: it has no memory of its own."""
        return self.id.startswith("cpu:")

    @property
    def env(self) -> dict[str, str]:
        """What pins a worker to it. CUDA takes UUIDs of GPUs and of MIG slices here."""
        return {"CUDA_VISIBLE_DEVICES": "" if self.is_cpu else self.id}

    def process_limit(self, worker_memory: int | None) -> int | None:
        """What the machine's memory is limited to for a worker here, in bytes. Where a GPU is
        what matters, torch keeps to the limit by itself (EngineConfig.memory_limit)."""
        return worker_memory if self.torch_device == "cpu" else None


@dataclass(frozen=True)
class Spec:
    """``--devices``, parsed: all that are visible (auto), n CPU slots, or these GPUs."""

    cpu_slots: int | None = None
    gpus: tuple[str, ...] = ()

    @property
    def auto(self) -> bool:
        return self.cpu_slots is None and not self.gpus


@dataclass(frozen=True)
class Gpu:
    """One entry of the driver's list. A GPU in MIG mode is listed by its slices instead."""

    index: int
    uuid: str
    name: str
    memory_total: int | None
    torch_device: str = "cuda:0"  # of a worker that sees no other
    compute_capability: tuple[int, int] | None = None


def parse_spec(text: str) -> Spec:
    """``auto`` | ``cpu:N`` (1..256) | comma-separated GPU indices and UUIDs.

    Raises InvalidInput.
    """
    text = text.strip()
    if text == "auto":
        return Spec()
    if text == "cpu" or text.startswith("cpu:"):
        number = text[4:] or "1"
        if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 256:
            raise InvalidInput(FIELD, f"{text!r}: cpu:N needs N from 1 to 256")
        return Spec(cpu_slots=int(number))
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if not (name.startswith(("GPU-", "MIG-")) or (name.isascii() and name.isdigit())):
            raise InvalidInput(
                FIELD, f"{name!r} is not a GPU: use auto, cpu:N, or indices and UUIDs such as 0,1"
            )
    if len(set(names)) != len(names):
        raise InvalidInput(FIELD, f"{text!r} names a GPU twice")
    return Spec(gpus=tuple(names))


def resolve(
    spec: Spec,
    gpus: Callable[[], Sequence[Gpu]],
    *,
    slots_per_gpu: int = 1,
    visible: str | None = None,
    cpus: int = 1,
) -> list[Device]:
    """The devices that ``spec`` means on this machine.

    ``gpus`` is asked only when needed. ``visible`` is our own CUDA_VISIBLE_DEVICES: auto keeps to
    it. Without a GPU, auto means one CPU slot per core (``cpus``). Raises InvalidInput when a
    named GPU is not there.
    """
    if spec.cpu_slots is not None:
        return _cpu_devices(spec.cpu_slots)
    found = gpus()
    wanted = spec.gpus
    if spec.auto and visible is not None:
        wanted = tuple(name.strip() for name in visible.split(",") if name.strip())
        # CUDA stops reading at the first entry that it cannot use; -1 is the usual "none".
        wanted = wanted[: wanted.index("-1")] if "-1" in wanted else wanted
        found = found if wanted else []
    chosen = [_pick(name, found) for name in wanted] if wanted else list(found)
    if not chosen:
        return _cpu_devices(max(1, cpus))
    return [
        Device(g.uuid, g.name, slots_per_gpu, g.memory_total, g.torch_device, g.compute_capability)
        for g in chosen
    ]


def _cpu_devices(count: int) -> list[Device]:
    return [Device(f"cpu:{n}", "CPU") for n in range(count)]


def _pick(name: str, gpus: Sequence[Gpu]) -> Gpu:
    if name.isdigit():
        matches = [g for g in gpus if g.index == int(name)]
        if len(matches) > 1:
            raise InvalidInput(FIELD, f"GPU {name} is split by MIG: name a slice by its UUID")
    else:  # CUDA takes any unambiguous beginning of a UUID
        matches = [g for g in gpus if g.uuid.startswith(name)]
    if len(matches) != 1:
        known = ", ".join(f"{g.index} {g.uuid}" for g in gpus) or "none"
        raise InvalidInput(FIELD, f"there is no GPU {name!r}; the driver lists: {known}")
    return matches[0]


def usable_cpus() -> int:
    return len(os.sched_getaffinity(0))
