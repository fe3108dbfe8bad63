"""Every example workflow runs through the node pack, and keeps the frame's size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from workers.nodes import NODE_CLASS_MAPPINGS

FOLDER = Path(__file__).parents[2] / "examples" / "workflows"
FILES = sorted(FOLDER.glob("*.json"))
RESIZED = {"mirror_double_width": (2, 1), "half_size": (0.5, 0.5)}  # width, height


def run(graph: dict[str, Any], frame: torch.Tensor) -> torch.Tensor:
    """What reaches SaveTensor. Recursion and a memo, so that it is plainly right."""
    done: dict[str, tuple[Any, ...]] = {}

    def outputs(node_id: str) -> tuple[Any, ...]:
        if node_id not in done:
            node = graph[node_id]
            cls: Any = NODE_CLASS_MAPPINGS[node["class_type"]]
            if node["class_type"] == "LoadTensor":
                done[node_id] = (frame,)
            else:
                done[node_id] = getattr(cls(), cls.FUNCTION)(**inputs(node))
        return done[node_id]

    def inputs(node: dict[str, Any]) -> dict[str, Any]:
        return {
            name: outputs(value[0])[value[1]] if isinstance(value, list) else value
            for name, value in node["inputs"].items()
        }

    (save,) = [node for node in graph.values() if node["class_type"] == "SaveTensor"]
    result: torch.Tensor = inputs(save)["images"]
    return result


def load(name: str) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return graph


def picture(height: int = 48, width: int = 64) -> torch.Tensor:
    """A soft colour ramp with a bright square in the upper right part."""
    frame = torch.zeros(1, height, width, 3)
    frame[..., 0] = torch.linspace(0.1, 0.5, width)
    frame[..., 1] = torch.linspace(0.1, 0.5, height)[:, None]
    frame[:, 8:20, 40:56] = 0.9
    return frame


def test_there_are_examples() -> None:
    assert len(FILES) >= 10 and "passthrough" in {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_example(path: Path) -> None:
    graph = load(path.stem)
    frame = picture()
    before = frame.clone()
    for node in graph.values():
        assert set(node) == {"class_type", "inputs", "_meta"} and node["_meta"]["title"]
        cls: Any = NODE_CLASS_MAPPINGS[node["class_type"]]
        types = cls.INPUT_TYPES()
        assert set(types["required"]) <= set(node["inputs"])
        assert set(node["inputs"]) <= set(types["required"]) | set(types.get("optional", {}))
    with torch.inference_mode():
        out = run(graph, frame)
    assert torch.equal(frame, before)
    wide, high = RESIZED.get(path.stem, (1, 1))
    assert out.shape == (1, round(48 * high), round(64 * wide), 3)
    assert out.dtype == torch.float32 and out.isfinite().all()
    assert out.min() >= 0.0 and out.max() <= 1.0
    if path.stem not in ("passthrough", "volume"):
        assert out.shape != frame.shape or (out - frame).abs().max() > 0.1


def test_what_they_do() -> None:
    frame = picture()
    assert run(load("passthrough"), frame) is frame
    torch.testing.assert_close(run(load("invert"), frame), 1 - frame)
    torch.testing.assert_close(run(load("mirror"), frame), frame.flip(2))
    torch.testing.assert_close(
        run(load("mirror_double_width"), frame), torch.cat((frame, frame.flip(2)), dim=2)
    )
    poster = run(load("posterise"), frame).reshape(-1, 3).tolist()
    assert 3 <= len({tuple(pixel) for pixel in poster}) <= 8
    blurred, sharp = run(load("blur"), frame), run(load("sharpen"), frame)
    assert blurred.diff(dim=2).abs().max() < 0.5 * frame.diff(dim=2).abs().max()
    assert sharp.diff(dim=2).abs().max() > frame.diff(dim=2).abs().max()
    inset = run(load("picture_in_picture"), frame)
    assert torch.equal(inset[:, :16], frame[:, :16])
    assert inset[0, 29, 34, 2] == 1.0 and inset[0, 30, 35, 2] == 0.0  # 14 x 19, a negative
    vignette = run(load("vignette"), frame)
    torch.testing.assert_close(vignette[0, 24, 32], frame[0, 24, 32], rtol=0, atol=1e-3)
    assert vignette[0, 0, 0].sum() < 0.3 * frame[0, 0, 0].sum()
    for name, at_edge in (("edges", 1.0), ("pencil", 0.0)):
        drawn = run(load(name), frame)
        flat, edge = drawn[0, 40, 10, 1], drawn[0, 8:20, 38:42, 1]
        closest = (edge - at_edge).abs().min()
        assert closest < 0.5 * (flat - at_edge).abs(), name


def test_any_size_will_do() -> None:
    """The graphs have no size of a frame in them."""
    for path in FILES:
        out = run(load(path.stem), torch.rand(1, 360, 202, 3))
        wide, high = RESIZED.get(path.stem, (1, 1))
        assert out.shape == (1, round(360 * high), round(202 * wide), 3), path.stem
