"""The engine on a real CUDA device. Skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from comfytrickle.messages import EngineConfig
from comfytrickle.workflow import parse_prompt
from workers.engine.bridge import FrameBridge
from workers.engine.embedded import EmbeddedEngine

pytestmark = pytest.mark.gpu

INVERT_BLUR = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {
        "class_type": "ImageBlur",
        "inputs": {"image": ["2", 0], "blur_radius": 3, "sigma": 1.0},
    },
    "4": {"class_type": "SaveTensor", "inputs": {"images": ["3", 0]}},
}


def test_every_value_survives_the_way_to_the_device_and_back() -> None:
    bridge = FrameBridge(torch.device("cuda:0"))
    rgb = np.arange(256 * 96, dtype=np.uint32).astype(np.uint8).reshape(64, 128, 3)
    for turn in range(5):  # staging buffers are used again
        frame = np.roll(rgb, turn, axis=0)
        up = bridge.upload(frame)
        assert up.device.type == "cuda"
        assert up.shape == (1, 64, 128, 3)
        back, _owner = bridge.download(up)
        np.testing.assert_array_equal(back, frame)


def test_the_device_computes_what_the_cpu_computes() -> None:
    rgb = np.random.default_rng(7).integers(0, 256, (128, 192, 3), np.uint8)
    results = []
    for device in ("cpu", "cuda:0"):
        engine = EmbeddedEngine(EngineConfig(device=device))
        graph = engine.load(parse_prompt(INVERT_BLUR))
        bridge = FrameBridge(engine.device)
        results.append(bridge.download(graph.run(bridge.upload(rgb)))[0].astype(int))
        graph.close()
        engine.close()
    assert np.abs(results[0] - results[1]).max() <= 1


def test_memory_does_not_grow_with_frames() -> None:
    engine = EmbeddedEngine(EngineConfig(device="cuda:0"))
    graph = engine.load(parse_prompt(INVERT_BLUR))
    bridge = FrameBridge(engine.device)
    rgb = np.zeros((512, 512, 3), np.uint8)

    def run(frames: int) -> int:
        for _ in range(frames):
            bridge.download(graph.run(bridge.upload(rgb)))
        return torch.cuda.memory_allocated()

    before = run(20)
    assert run(200) == before
    graph.close()
    engine.close()
