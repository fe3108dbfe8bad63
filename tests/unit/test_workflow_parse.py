"""What callers send, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfytrickle.errors import InvalidInput, InvalidWorkflow
from comfytrickle.workflow.model import MAX_NODES, Workflow
from comfytrickle.workflow.parse import DEFAULT_WORKFLOW, parse_prompt


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def passthrough() -> dict[str, Any]:
    return {"a": node("LoadTensor"), "b": node("SaveTensor", images=["a", 0])}


def errors_of(value: object) -> list[tuple[str | None, str]]:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_prompt(value)
    assert caught.value.field == "params.prompt"
    return [(error.node_id, error.type) for error in caught.value.errors]


@pytest.mark.parametrize(
    "form",
    [
        passthrough(),
        [passthrough()],
        json.dumps(passthrough()),
        [json.dumps(passthrough())],
        json.dumps([passthrough()]),
        {"prompt": passthrough(), "client_id": "x"},
        json.dumps({"prompt": passthrough()}),
        [{"prompt": json.dumps(passthrough())}],
    ],
)
def test_every_accepted_form_gives_the_same_workflow(form: object) -> None:
    workflow = parse_prompt(form)
    assert workflow.to_api() == passthrough()
    assert workflow.digest == parse_prompt(passthrough()).digest
    assert (workflow.frame_input, workflow.frame_output) == ("a", "b")
    assert workflow.converted == ()


@pytest.mark.parametrize("nothing", [None, "", "  \n", [None], [""], "null"])
def test_nothing_is_the_default_passthrough(nothing: object) -> None:
    assert parse_prompt(nothing) == DEFAULT_WORKFLOW
    assert [n.class_type for n in DEFAULT_WORKFLOW.nodes.values()] == ["LoadTensor", "SaveTensor"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "the list is empty"),
        ([passthrough(), passthrough()], "has 2 workflows"),
        ({}, "no nodes"),
        (17, "not int"),
        (True, "not bool"),
        ("{", "not valid JSON at line 1, column 2: "),
        (' {"1":\n  oops}', "not valid JSON at line 2, column 3: "),
        ("[" + "1" * 5000 + "]", "not valid JSON: "),
        ("a cat", "a workflow in API format (a JSON object), not the text 'a cat'"),
        ("a very long wish " * 99, "not the text 'a very long wish a very long wish a very...'"),
        ("[" * 200_000, "nested too deeply"),
        ('"' + "[" * 3 + '"', "not valid JSON"),
        ([[[[[[passthrough()]]]]]], "wrapped in too many"),
        ({"nodes": [{"id": 1}], "links": []}, "Export (API)"),
        (json.dumps({"nodes": [], "links": [], "version": 0.4}), "UI format"),
        ({"prompt": {"nodes": [], "links": []}}, "UI format"),
        (" " * 10 + "x" * 5_000_000, "larger than 4 MiB"),
    ],
)
def test_what_is_no_graph_at_all(value: object, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_prompt(value, "prompt")
    assert says in str(caught.value)
    assert caught.value.field == "prompt"
    assert not isinstance(caught.value, InvalidWorkflow)


def test_what_is_wrong_is_said_once() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_prompt({"1": node("LoadTensor")})
    assert caught.value.message.startswith("the workflow has no ")
    with pytest.raises(InvalidWorkflow) as caught:
        parse_prompt(passthrough() | {"7": node("ImageInvert", image=["8", 0])})
    assert caught.value.message.startswith("the workflow cannot run: node 7: ")


def test_a_node_may_be_called_prompt() -> None:
    graph = {"prompt": node("LoadTensor"), "out": node("SaveTensor", images=["prompt", 0])}
    assert parse_prompt(graph).order == ("prompt", "out")


def test_size_limits() -> None:
    graph: dict[str, Any] = passthrough()
    graph |= {f"n{i}": node("X") for i in range(MAX_NODES - 2)}
    assert len(parse_prompt(graph).nodes) == MAX_NODES
    graph["one more"] = node("X")
    with pytest.raises(InvalidInput, match="2001 nodes; at most 2000"):
        parse_prompt(graph)
    big = {**passthrough(), "t": node("X", text="y" * 4_200_000)}
    with pytest.raises(InvalidInput, match="larger than 4 MiB"):
        parse_prompt(big)


def test_all_shape_errors_are_found_at_once() -> None:
    found = errors_of(
        {
            "1": "not a node",
            "2": {"inputs": {}},
            "3": {"class_type": "X", "inputs": []},
            "4": node("X", a=["nowhere", 0], b=["5", -1], c=["5"], d=[None, 0], e=["5", "0"]),
            "5": node("LoadTensor"),
            "6": node("LoadTensor"),
            "7": node("X", image=["8", 0]),
            "8": node("X", image=["7", 0]),
            "9": node("X", seed=2**64, text="\ud800", x=float("nan")),
            "10": node("SaveTensor", images=["3", 0]),
        }
    )
    assert sorted(found, key=str) == sorted(
        [
            ("1", "invalid_prompt"),
            ("2", "invalid_prompt"),
            ("3", "invalid_prompt"),
            *[("4", "bad_linked_input")] * 5,
            ("5", "multiple_inputs"),
            ("6", "multiple_inputs"),
            ("7", "dependency_cycle"),
            *[("9", "invalid_input_type")] * 3,
        ],
        key=str,
    )


def test_one_malformed_node_makes_no_false_alarms() -> None:
    """The links to it are not reported, nor a missing input that it may have been."""
    found = errors_of({"1": {"inputs": {}}, "2": node("SaveTensor", images=["1", 0])})
    assert found == [("1", "invalid_prompt")]


def test_input_and_output_are_needed() -> None:
    assert errors_of({"1": node("X")}) == [(None, "no_input"), (None, "no_output")]


def test_cycles_are_named() -> None:
    graph = passthrough()
    graph |= {"x": node("X", i=["z", 0]), "y": node("Y", i=["x", 0]), "z": node("Z", i=["y", 0])}
    graph |= {"self": node("S", i=["self", 0]), "behind": node("B", i=["x", 0], j=["self", 0])}
    with pytest.raises(InvalidWorkflow) as caught:
        parse_prompt(graph)
    by_node = {error.node_id: error for error in caught.value.errors}
    assert {e.type for e in caught.value.errors} == {"dependency_cycle"}
    assert len(by_node) == 2
    assert by_node["self"].details == "self"
    ring = next(e for i, e in by_node.items() if i != "self")
    assert sorted(ring.details.split(", ")) == ["x", "y", "z"]
    names = ring.details.split(", ")
    assert names[(names.index("x") + 1) % 3] == "y"  # in the direction of the links
    assert "x (X)" in ring.message


def test_deep_chains_and_many_cycles_are_no_problem() -> None:
    chain: dict[str, Any] = {"0": node("LoadTensor")}
    for i in range(1, MAX_NODES - 1):
        chain[str(i)] = node("X", image=[str(i - 1), 0])
    chain["out"] = node("SaveTensor", images=[str(MAX_NODES - 2), 0])
    assert parse_prompt(chain).order == tuple(chain)
    rings: dict[str, Any] = passthrough()
    for i in range(0, 1000, 2):
        rings[f"r{i}"] = node("X", i=[f"r{i + 1}", 0])
        rings[f"r{i + 1}"] = node("X", i=[f"r{i}", 0])
    assert len(errors_of(rings)) == 500
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert errors_of({**passthrough(), "x": node("X", v={"__value__": deep})}) == [
        ("x", "invalid_input_type")
    ]


def test_order_is_topological_and_stable() -> None:
    graph = {
        "out": node("SaveTensor", images=["mix", 0]),
        "mix": node("Mix", a=["late", 0], b=["early", 0]),
        "early": node("X", image=["in", 0]),
        "late": node("X", image=["in", 0]),
        "in": node("LoadTensor"),
        "lonely": node("Y"),
    }
    workflow = parse_prompt(graph)
    assert workflow.order == ("in", "early", "late", "mix", "out", "lonely")
    assert {(k.source, k.output, k.target, k.name) for k in workflow.links} == {
        ("mix", 0, "out", "images"),
        ("late", 0, "mix", "a"),
        ("early", 0, "mix", "b"),
        ("in", 0, "early", "image"),
        ("in", 0, "late", "image"),
    }


def test_ids_and_links_in_normal_form() -> None:
    graph = {1: node("LoadTensor"), 2: node("SaveTensor", images=[1, 0.0])}
    workflow = parse_prompt(graph)
    assert workflow.to_api()["2"]["inputs"] == {"images": ["1", 0]}
    same = {"1": node("LoadTensor"), "2": node("SaveTensor", images=["1", 0])}
    assert workflow.digest == parse_prompt(same).digest


def test_titles_are_kept_and_do_not_count() -> None:
    titled = passthrough()
    titled["a"]["_meta"] = {"title": "Camera"}
    titled["b"]["is_changed"] = [float("nan")]  # ComfyUI's executor leaves this in saved graphs
    workflow = parse_prompt(titled)
    assert workflow.nodes["a"].title == "Camera"
    assert workflow.to_api()["a"]["_meta"] == {"title": "Camera"}
    assert workflow.digest == parse_prompt(passthrough()).digest
    changed = passthrough()
    changed["a"]["inputs"]["timeout_seconds"] = 2
    assert parse_prompt(changed).digest != workflow.digest


def test_the_workflow_does_not_share_memory_with_its_source() -> None:
    graph = {**passthrough(), "x": node("X", v={"__value__": [1]})}
    workflow = parse_prompt(graph)
    graph["x"]["inputs"]["v"]["__value__"].append(2)
    workflow.to_api()["x"]["inputs"]["v"]["__value__"].append(3)
    assert workflow.nodes["x"].inputs["v"] == {"__value__": [1]}


def test_node_errors_in_comfyui_shape() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_prompt({**passthrough(), "x": node("X", image=["gone", 0])})
    entry = caught.value.node_errors()["x"]
    assert entry["class_type"] == "X"
    assert entry["errors"][0]["input_name"] == "image"
    assert "'gone'" in entry["errors"][0]["message"]


def test_audio_and_text_nodes_are_stream_ends_too() -> None:
    graph = passthrough()
    graph |= {"m": node("LoadAudioTensor"), "t": node("SaveTextTensor", data="hello")}
    workflow: Workflow = parse_prompt(graph)
    assert workflow.input_ids == ("a", "m")
    assert workflow.output_ids == ("b", "t")
    assert (workflow.frame_input, workflow.frame_output) == ("a", "b")
