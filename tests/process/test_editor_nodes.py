"""The editor's nodes inside a ComfyUI: what they do there, and what a stream makes of the export.

In the workspace that the tests write, and in a copy of the one that COMFYUI_WORKSPACE names.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from comfytrickle import node_pack
from comfytrickle.messages import EngineConfig
from comfytrickle.workflow import parse_prompt
from tests.support.comfyui_by_hand import boot_by_hand, run_by_hand, validate_by_hand
from tests.support.comfyui_lab import Child, Lab, State
from tests.support.workspace import copy_real_workspace, write_workspace
from workers.engine.embedded import EmbeddedEngine

Graph = dict[str, Any]


@pytest.fixture(scope="module", params=["2024-08", "2025-10-31", "real"])
def child(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Child]:
    folder = tmp_path_factory.mktemp("editor") / "ComfyUI"
    if request.param == "real":
        copy_real_workspace(folder)
    else:
        write_workspace(folder, request.param)
    node_pack.install(folder)
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    Image.fromarray(pixels).save(folder / "input" / "frame.png")
    with lab.open() as opened:
        opened.ask(boot_by_hand, str(folder))
        yield opened


def drawn(image: str = "frame.png") -> Graph:
    """As the editor exports it, with what some of its versions add for the upload button."""
    return {
        "1": {
            "class_type": "LoadTensor",
            "inputs": {"image": image, "upload": "image", "timeout_seconds": 1.0},
            "_meta": {"title": "Load Tensor"},
        },
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
    }


def temp_folder(state: State) -> str:
    import folder_paths

    return str(folder_paths.get_temp_directory())


def test_the_picture_goes_in_and_the_preview_comes_out(child: Child) -> None:
    assert child.ask(validate_by_hand, drawn()) == {}
    shown = child.ask(run_by_hand, drawn(), ["3"])
    (entry,) = shown["3"]["images"]
    assert entry["type"] == "temp" and entry["subfolder"] == ""
    with Image.open(Path(child.ask(temp_folder)) / entry["filename"]) as preview:
        out = np.asarray(preview)
    expected = 255 - np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    assert out.dtype == np.uint8 and np.array_equal(out, expected)


def test_a_picture_that_is_not_there(child: Child) -> None:
    errors = child.ask(validate_by_hand, drawn("nowhere.png"))
    (error,) = errors["1"]["errors"]
    assert error["type"] == "custom_validation_failed"
    assert "there is no picture 'nowhere.png'" in error["details"]


def test_a_picture_uploaded_again_under_its_name(child: Child) -> None:
    first = child.ask(run_by_hand, drawn(), ["3"])["3"]["images"][0]["filename"]
    assert child.ask(run_by_hand, drawn(), ["3"])["3"]["images"][0]["filename"] == first
    child.ask(paint_input_green)
    second = child.ask(run_by_hand, drawn(), ["3"])["3"]["images"][0]["filename"]
    assert second != first
    with Image.open(Path(child.ask(temp_folder)) / second) as preview:
        assert preview.getpixel((0, 0)) == (255, 0, 255)
    child.ask(restore_input)


def paint_input_green(state: State) -> None:
    import folder_paths

    path = Path(folder_paths.get_input_directory()) / "frame.png"
    state["before"] = path.read_bytes()
    Image.new("RGB", (4, 4), (0, 255, 0)).save(path)


def restore_input(state: State) -> None:
    import folder_paths

    (Path(folder_paths.get_input_directory()) / "frame.png").write_bytes(state["before"])


def test_sound_and_text(child: Child) -> None:
    graph = {
        "1": {"class_type": "LoadAudioTensor", "inputs": {"buffer_size": 100.0}},
        "2": {"class_type": "SaveAudioTensor", "inputs": {"audio": ["1", 0]}},
        "3": {"class_type": "SaveTextTensor", "inputs": {"data": "a\nb"}},
        "4": {
            "class_type": "SaveTextTensor",
            "inputs": {"data": "a\nb", "remove_linebreaks": False},
        },
    }
    assert child.ask(validate_by_hand, graph) == {}
    shown = child.ask(run_by_hand, graph, ["2", "3", "4"])
    assert shown["3"]["text"] == ["ab"] and shown["4"]["text"] == ["a\nb"]
    name = shown["2"]["audio"][0]["filename"]
    with wave.open(str(Path(child.ask(temp_folder)) / name), "rb") as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 48_000, 4800)
        samples = np.frombuffer(file.readframes(4800), dtype="<i2")
    crossings = int((np.diff(np.signbit(samples)) != 0).sum())
    assert 86 <= crossings <= 89  # 440 Hz for 0.1 s
    assert 0.19 * 32767 < samples.max() < 0.21 * 32767


def test_the_picture_is_asked_for_with_an_upload_button(child: Child) -> None:
    """The editor gives one to a required input named image alone."""
    declared = child.ask(load_tensor_inputs)
    choices, options = declared["required"]["image"]
    assert "frame.png" in choices and options["image_upload"] is True
    assert declared["optional"]["timeout_seconds"][0] == "FLOAT"


def load_tensor_inputs(state: State) -> Any:
    import nodes

    return nodes.NODE_CLASS_MAPPINGS["LoadTensor"].INPUT_TYPES()


def test_the_export_runs_unchanged_in_a_stream() -> None:
    engine = EmbeddedEngine(EngineConfig())
    frame = torch.rand(1, 6, 8, 3)
    for inputs in (
        drawn()["1"]["inputs"],
        {},
        {"timeout_seconds": 0.5},
        {"image": "nowhere.png [input]"},
    ):
        graph = drawn()
        graph["1"]["inputs"] = inputs
        workflow = parse_prompt(graph)
        assert engine.check(workflow) == []
        loaded = engine.load(workflow)
        assert torch.equal(loaded.run(frame), 1 - frame)
        loaded.close()
    engine.close()
