"""Limits on a worker's memory, on real memory; and a GPU that has failed, on a scripted one."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from comfytrickle.messages import EngineConfig, StreamConfig
from tests.support.pool import ROOT
from workers import device, limits
from workers.engine.factory import build_engine
from workers.engine.protocol import NodeFailed
from workers.stages.node_errors import Reaction
from workers.stages.node_trouble import NodeTrouble
from workers.stages.stats import Stats

# In a process of its own: such a limit cannot be lifted again.
HOG = """
import json, sys
sys.path[:0] = ["src", "."]
import numpy, torch
from workers.engine.failures import node_failure
from workers.limits import limit_memory, memory_left
out = {"before": memory_left()}
limit_memory(300_000_000)
out["left"] = memory_left()
kept = torch.ones(150_000_000 // 4)
out["then"] = memory_left()
for name, take in {
    "torch": lambda: torch.ones(250_000_000),
    "numpy": lambda: numpy.ones((500, 1000, 1000)),
    "python": lambda: bytearray(1_000_000_000),
}.items():
    try:
        take()
    except Exception as error:
        out[name] = [type(error).__name__, node_failure("5", "Hog", error).message]
out["fits"] = float(torch.ones(50_000_000 // 4).sum())
print(json.dumps(out))
"""


def test_an_allocation_beyond_the_limit_fails_with_the_figures_and_the_next_one_may_fit() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOG], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    out: dict[str, Any] = json.loads(done.stdout)
    assert out["before"] is None
    assert 250_000_000 < out["left"] <= 300_000_000
    assert 100_000_000 < out["left"] - out["then"] < 200_000_000
    assert out["torch"][0] == "RuntimeError" and "1000000000 bytes" in out["torch"][1]
    assert out["numpy"][0] == "MemoryError" and "3.73 GiB" in out["numpy"][1]
    assert out["python"][0] == "MemoryError"
    for kind in ("torch", "numpy", "python"):
        assert "(out of memory: this worker may take 1" in out[kind][1]
        assert out[kind][1].endswith(" MB more)")
    assert out["fits"] == 12_500_000.0


def test_this_process_is_not_limited() -> None:
    assert limits.memory_left() is None


class Cuda:
    """torch.cuda, as far as it is used here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.problem: str | None = None
        self.fraction: float | None = None
        for name in ("synchronize", "set_per_process_memory_fraction", "max_memory_reserved"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        total = type("P", (), {"total_memory": 80_000})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: total)

    def synchronize(self) -> None:
        if self.problem is not None:
            raise RuntimeError(self.problem)

    def set_per_process_memory_fraction(self, fraction: float, _device: Any) -> None:
        self.fraction = fraction

    def max_memory_reserved(self) -> int:
        return 123


def test_a_fatal_error_of_the_device_is_told_from_a_nodes_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cuda = Cuda(monkeypatch)
    assert device.device_problem() is None
    cuda.problem = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors ..."
    assert device.device_problem() == "CUDA error: an illegal memory access was encountered"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert device.device_problem() is None


def test_a_frame_that_met_a_fatal_error_ends_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch)
    trouble = NodeTrouble("frame", StreamConfig("s", {}), Stats(), print)
    error = NodeFailed("7", "Hog", "RuntimeError: CUDA error: unspecified launch failure")
    assert trouble.met(error) is Reaction.DROP  # the node's own affair: the next frame is tried
    cuda.problem = "CUDA error: unspecified launch failure"
    with pytest.raises(device.DeviceFailed, match=r"unspecified launch failure; met in: node 7"):
        trouble.met(error)


def test_the_share_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.device_memory() is None
    build_engine(EngineConfig(memory_limit=20_000)).close()  # on the CPU there is no share
    cuda = Cuda(monkeypatch)
    assert device.device_memory() == 123
    device.limit_device_memory("cpu", 20_000)
    assert cuda.fraction is None
    device.limit_device_memory("cuda:0", 20_000)
    assert cuda.fraction == 0.25
    device.limit_device_memory("cuda:0", 90_000)
    assert cuda.fraction == 1.0
