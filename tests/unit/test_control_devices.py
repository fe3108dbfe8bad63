from __future__ import annotations

import pytest

from comfytrickle.errors import InvalidInput
from control_plane.placement.devices import Device, Gpu, Spec, parse_spec, resolve

GPUS = [
    Gpu(0, "GPU-aaaa-1", "H200", 150_000_000_000),
    Gpu(1, "GPU-bbbb-2", "H200", 150_000_000_000),
    Gpu(2, "MIG-cccc-1", "H200 MIG 1g", 18_000_000_000),
    Gpu(2, "MIG-cccc-2", "H200 MIG 1g", 18_000_000_000),
]


def no_gpus() -> list[Gpu]:
    return []


def unasked() -> list[Gpu]:
    raise AssertionError("the driver is not needed for this")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("auto", Spec()),
        ("cpu", Spec(cpu_slots=1)),
        ("cpu:4", Spec(cpu_slots=4)),
        ("0,1", Spec(gpus=("0", "1"))),
        (" GPU-aaaa-1 , MIG-cccc-2 ", Spec(gpus=("GPU-aaaa-1", "MIG-cccc-2"))),
    ],
)
def test_spec(text: str, spec: Spec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize(
    "text", ["", "cpu:0", "cpu:-1", "cpu:x", "cpu:257", "gpu", "0,,1", "0,0", "-1", "cpu:²"]
)
def test_a_wrong_spec_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_spec(text)
    assert caught.value.field == "devices"


def ids(devices: list[Device]) -> list[str]:
    return [d.id for d in devices]


def test_resolve() -> None:
    assert ids(resolve(parse_spec("cpu:3"), unasked)) == ["cpu:0", "cpu:1", "cpu:2"]
    assert ids(resolve(Spec(), no_gpus, cpus=2)) == ["cpu:0", "cpu:1"]
    assert ids(resolve(Spec(), lambda: GPUS)) == [g.uuid for g in GPUS]
    picked = resolve(parse_spec("1,MIG-cccc-2"), lambda: GPUS, slots_per_gpu=3)
    assert [(d.id, d.slots, d.torch_device) for d in picked] == [
        ("GPU-bbbb-2", 3, "cuda:0"),
        ("MIG-cccc-2", 3, "cuda:0"),
    ]
    assert picked[0].env == {"CUDA_VISIBLE_DEVICES": "GPU-bbbb-2"}
    assert resolve(parse_spec("cpu"), unasked)[0].env == {"CUDA_VISIBLE_DEVICES": ""}


def test_auto_keeps_to_what_is_visible() -> None:
    assert ids(resolve(Spec(), lambda: GPUS, visible="1")) == ["GPU-bbbb-2"]
    assert ids(resolve(Spec(), lambda: GPUS, visible="GPU-aaaa")) == ["GPU-aaaa-1"]
    assert ids(resolve(Spec(), lambda: GPUS, visible="", cpus=1)) == ["cpu:0"]
    assert ids(resolve(Spec(), lambda: GPUS, visible="-1", cpus=1)) == ["cpu:0"]


@pytest.mark.parametrize("text", ["7", "GPU-zzzz", "GPU-", "2"])
def test_a_gpu_that_is_not_there_or_not_one_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        resolve(parse_spec(text), lambda: GPUS)


def test_a_process_limit_is_for_those_who_compute_with_the_machines_memory() -> None:
    assert Device("cpu:0", "CPU").process_limit(7) == 7
    assert Device("GPU-a", "a", torch_device="cuda:0").process_limit(7) is None
    assert Device("cpu:0", "CPU").process_limit(None) is None


def test_a_source_may_say_what_its_gpus_really_are() -> None:
    simulated = Gpu(0, "GPU-sim-0", "simulated", 10, torch_device="cpu")
    (device,) = resolve(Spec(), lambda: [simulated], slots_per_gpu=2)
    assert (device.id, device.torch_device, device.slots) == ("GPU-sim-0", "cpu", 2)
    assert not device.is_cpu
