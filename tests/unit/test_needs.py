"""What a workflow is taken to need, by what was seen of it."""

from __future__ import annotations

import pytest

from comfytrickle.messages import Counters, Status, StreamConfig
from comfytrickle.states import State
from control_plane.placement.devices import Device
from control_plane.placement.needs import CONTEXT_BYTES, Meter, Needs, Workload, taken

MB = 1_000_000
GPU = Device("GPU-a", "H200", 2, 80_000 * MB, "cuda:0")
CPU = Device("cpu:0", "CPU")
SMALL, LARGE = Workload("w", 512, 512), Workload("w", 1920, 1080)


def status(frames: int = 0, revision: int = 0, **amounts: int) -> Status:
    counters = Counters(frames_out=frames)
    return Status(seq=1, state=State.STREAMING, counters=counters, revision=revision, **amounts)


@pytest.mark.parametrize(
    ("device", "said", "listed", "amount"),
    [
        (GPU, {"device_memory": 900 * MB, "rss": 5}, None, 900 * MB + CONTEXT_BYTES),
        (GPU, {"device_memory": 900 * MB}, 1400 * MB, 1400 * MB),  # the driver sees all of it
        (GPU, {"device_memory": 900 * MB}, 700 * MB, 900 * MB),  # its reading is older
        (GPU, {"rss": 5}, 300 * MB, 300 * MB),
        (GPU, {"rss": 5}, None, None),
        (CPU, {"rss": 60 * MB, "device_memory": 1}, None, 60 * MB),
    ],
)
def test_what_a_worker_has_taken(
    device: Device, said: dict[str, int], listed: int | None, amount: int | None
) -> None:
    assert taken(device, status(**said), listed) == amount


def test_sizes_and_defaults() -> None:
    needs = Needs(default=7)
    assert needs.of(SMALL) == 7
    needs.running(SMALL, 100)
    needs.running(LARGE, 900)
    assert (needs.of(SMALL), needs.of(LARGE)) == (100, 900)
    assert needs.of(Workload("w", 64, 64)) == 900  # not known at that size: the most of all
    assert needs.of(Workload("other", 512, 512)) == 7
    capped = Needs(default=900, cap=500)
    assert capped.of(SMALL) == 500
    capped.running(SMALL, 800)
    assert capped.of(SMALL) == 500


def test_the_peak_of_the_last_run_counts() -> None:
    needs = Needs()

    def run(*peaks: int, frames: int = 1) -> None:
        meter = Meter(needs, GPU, SMALL, revision=0)
        for peak in peaks:
            meter.heard(status(frames, device_memory=peak), None)
        meter.ended()
        meter.ended()

    run(10 * MB, 90 * MB, 50 * MB)
    assert needs.of(SMALL) == 90 * MB + CONTEXT_BYTES
    run(20 * MB)  # it had leaked, and does no more
    assert needs.of(SMALL) == 20 * MB + CONTEXT_BYTES
    run(5 * MB, frames=0)  # this one died while it loaded
    assert needs.of(SMALL) == 20 * MB + CONTEXT_BYTES
    live = Meter(needs, GPU, SMALL, revision=0)
    live.heard(status(1, device_memory=70 * MB), None)
    assert needs.of(SMALL) == 70 * MB + CONTEXT_BYTES  # at once, for the next start


def test_after_a_change_of_params_nothing_is_learnt() -> None:
    needs = Needs()
    meter = Meter(needs, GPU, SMALL, revision=3)
    amount = meter.heard(status(1, revision=4, device_memory=90 * MB), None)
    assert amount == 90 * MB + CONTEXT_BYTES  # what it has taken is known all the same
    meter.ended()
    assert needs.of(SMALL) == 0


def test_it_remembers_a_bounded_number() -> None:
    needs = Needs()
    for n in range(1100):
        needs.running(Workload(f"w{n}"), 5)
    assert needs.of(Workload("w0")) == 0 and needs.of(Workload("w1099")) == 5
    for n in range(40):
        needs.running(Workload("w1099", n, n), n + 1)
    assert needs.of(Workload("w1099", 39, 39)) == 40
    config = StreamConfig("s", {}, width=8, height=6)
    assert Workload.of("w", config) == Workload("w", 8, 6)
