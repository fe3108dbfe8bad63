"""Exported workflows become live ones; what is ambiguous is refused."""

from __future__ import annotations

from typing import Any

import pytest

from comfytrickle.errors import InvalidWorkflow
from comfytrickle.workflow.parse import parse_prompt


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def refused(graph: dict[str, Any]) -> InvalidWorkflow:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_prompt(graph)
    return caught.value


def test_primary_input_and_preview() -> None:
    graph = {
        "5": node("PrimaryInputLoadImage", image="cam.png", upload="image"),
        "6": node("ImageInvert", image=["5", 0]),
        "7": {**node("PreviewImage", images=["6", 0]), "_meta": {"title": "See"}},
    }
    workflow = parse_prompt(graph)
    assert workflow.to_api() == {
        "5": node("LoadTensor"),
        "6": node("ImageInvert", image=["5", 0]),
        "7": {**node("SaveTensor", images=["6", 0]), "_meta": {"title": "See"}},
    }
    assert workflow.converted == (
        "5: PrimaryInputLoadImage -> LoadTensor",
        "7: PreviewImage -> SaveTensor",
    )


def test_a_lone_load_image_becomes_the_input() -> None:
    graph = {
        "1": node("LoadImage", image="a.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    workflow = parse_prompt(graph)
    assert workflow.to_api() == {
        "1": node("LoadTensor"),
        "2": node("SaveTensor", images=["1", 0]),
    }


def test_load_image_beside_a_primary_input_stays() -> None:
    for primary in ("LoadTensor", "PrimaryInputLoadImage"):
        graph = {
            "1": node("LoadImage", image="style.png"),
            "2": node(primary),
            "3": node("SaveTensor", images=["2", 0]),
        }
        workflow = parse_prompt(graph)
        assert workflow.nodes["1"].class_type == "LoadImage"
        assert workflow.frame_input == "2"


def test_the_mask_of_a_converted_load_image_is_black() -> None:
    graph = {
        "1": node("LoadImage", image="a.png"),
        "1.mask": node("Other"),
        "2": node("MaskToImage", mask=["1", 1]),
        "3": node("Compose", mask=["1", 1], image=["1", 0]),
        "4": node("SaveImage", images=["3", 0]),
    }
    workflow = parse_prompt(graph)
    api = workflow.to_api()
    assert api["1.mask_"] == node("SolidMask", value=0.0, width=64, height=64)
    assert api["2"]["inputs"] == {"mask": ["1.mask_", 0]}
    assert api["3"]["inputs"] == {"mask": ["1.mask_", 0], "image": ["1", 0]}
    assert any("SolidMask" in text for text in workflow.converted)
    assert workflow.order.index("1.mask_") < workflow.order.index("2")


def test_several_inputs_are_refused_by_name() -> None:
    out = {"9": node("SaveTensor", images=["1", 0])}
    error = refused({"1": node("LoadTensor"), "2": node("PrimaryInputLoadImage"), **out})
    assert [(e.node_id, e.type) for e in error.errors] == [
        ("1", "multiple_inputs"),
        ("2", "multiple_inputs"),
    ]
    error = refused({"1": node("LoadImage"), "2": node("LoadImage"), **out})
    assert [(e.node_id, e.type) for e in error.errors] == [
        ("1", "ambiguous_inputs"),
        ("2", "ambiguous_inputs"),
    ]
    assert "nodes 1, 2" in str(error)


def test_the_output_is_the_one_of_the_highest_rank() -> None:
    graph = {
        "1": node("LoadTensor"),
        "2": node("PreviewImage", images=["1", 0]),
        "3": node("PreviewImage", images=["1", 0]),
        "4": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }
    workflow = parse_prompt(graph)
    assert list(workflow.nodes) == ["1", "4"]
    assert workflow.frame_output == "4"
    assert workflow.converted == (
        "4: SaveImage -> SaveTensor",
        "2: PreviewImage left out, the stream goes out through 4",
        "3: PreviewImage left out, the stream goes out through 4",
    )
    graph["5"] = node("SaveTensor", images=["1", 0])
    assert list(parse_prompt(graph).nodes) == ["1", "5"]


def test_nothing_writes_a_file_for_every_frame() -> None:
    graph = {
        "1": node("LoadTensor"),
        "2": node("VAEEncode", pixels=["1", 0], vae=["3", 0]),
        "3": node("VAELoader", vae_name="x"),
        "4": node("SaveTensor", images=["1", 0]),
        "5": node("SaveImage", images=["1", 0], filename_prefix="x"),
        "6": node("PreviewImage", images=["1", 0]),
        "7": node("SaveLatent", samples=["2", 0], filename_prefix="x"),
        "8": node("PreviewAny", source=["2", 0]),
        "9": node("VAESave", vae=["3", 0], filename_prefix="x"),  # once, since it is constant
    }
    workflow = parse_prompt(graph)
    assert list(workflow.nodes) == ["1", "2", "3", "4", "9"]
    assert workflow.converted == tuple(
        f"{i}: {graph[i]['class_type']} left out, the stream goes out through 4" for i in "5678"
    )
    assert parse_prompt(workflow.to_api()).digest == workflow.digest


@pytest.mark.parametrize("class_type", ["SaveTensor", "SaveImage", "PreviewImage"])
def test_two_outputs_of_a_rank_are_refused(class_type: str) -> None:
    error = refused(
        {
            "1": node("LoadTensor"),
            "2": node(class_type, images=["1", 0]),
            "3": node(class_type, images=["1", 0]),
        }
    )
    assert [(e.node_id, e.type) for e in error.errors] == [
        ("2", "multiple_outputs"),
        ("3", "multiple_outputs"),
    ]


def test_conversion_is_idempotent() -> None:
    graph = {
        "1": node("LoadImage", image="a.png"),
        "2": node("MaskToImage", mask=["1", 1]),
        "3": node("PreviewImage", images=["2", 0]),
        "4": node("SaveImage", images=["2", 0]),
    }
    once = parse_prompt(graph)
    twice = parse_prompt(once.to_api())
    assert twice.to_api() == once.to_api()
    assert twice.digest == once.digest
    assert twice.converted == ()
