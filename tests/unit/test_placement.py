"""Which device the next stream gets."""

from __future__ import annotations

import pytest

from control_plane.placement.devices import Device
from control_plane.placement.placement import MEMORY_STEP, Load, NoRoom, place

GB = 1_000_000_000
A, B, C = (Device(f"GPU-{x}", x, slots=2, torch_device="cuda:0") for x in "abc")


@pytest.mark.parametrize(
    ("loads", "chosen"),
    [
        # The most free memory, whatever else.
        ([Load(A, 0, 20 * GB), Load(B, 1, 40 * GB, 0.9)], B),
        # Noise in it does not count: the fewest streams, then the least busy, then the first.
        ([Load(A, 1, 40 * MEMORY_STEP + 900_000_000), Load(B, 0, 40 * MEMORY_STEP)], B),
        ([Load(A, 1, None, 0.9), Load(B, 1, None, 0.2)], B),
        ([Load(A), Load(B), Load(C)], A),
        ([Load(A, 1), Load(B), Load(C)], B),
        # One whose memory nobody can read comes after those with known room.
        ([Load(A, 0, None), Load(B, 1, 2 * GB)], B),
        # A fault lately puts it last, and no further.
        ([Load(A, 0, 80 * GB, faulted=True), Load(B, 1, 8 * GB, 0.9)], B),
        ([Load(A, 0, 80 * GB, faulted=True), Load(B, 2, 8 * GB)], A),
        # Neither full nor closed ones.
        ([Load(A, 2, 80 * GB), Load(B, 0, 60 * GB, closed="is unhealthy: x"), Load(C, 1)], C),
    ],
)
def test_order(loads: list[Load], chosen: Device) -> None:
    assert place(loads) == chosen


def test_a_need_must_fit() -> None:
    loads = [Load(A, 0, 3 * GB), Load(B, 1, 3_200_000_000), Load(C, 2, 70 * GB)]
    assert place(loads, 3_200_000_000) == B
    assert place([*loads[:2], Load(C, 1, 70 * GB)], 6_100_000_000) == C
    assert place([*loads, Load(C, 0, None)], 6_100_000_000) == C  # nobody knows: it is tried
    refused = place(loads, 6_100_000_000)
    assert refused == NoRoom("needs 6.1 GB, most free is 3.2 GB on GPU-b")


def test_reservations_may_exceed_what_is_free() -> None:
    refused = place([Load(A, 1, -2 * GB)], GB)
    assert refused == NoRoom("needs 1.0 GB, most free is 0 B on GPU-a")
    assert place([Load(A, 1, -2 * GB)]) == A  # without a need it is not considered


def test_why_it_is_full() -> None:
    assert place([Load(A, 2), Load(B, 2)]) == NoRoom("full: all 4 slots are taken")
    closed = Load(B, 0, closed="is unhealthy: pid 7 is dead")
    assert place([Load(A, 2), closed]) == NoRoom(
        "full: all 2 usable slots are taken; GPU-b is unhealthy: pid 7 is dead"
    )
