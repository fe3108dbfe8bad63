"""Nodes of ComfyUI's V3 contract in the resident graph."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from comfytrickle.workflow import parse_prompt
from tests.support.engine_nodes import Graph, around, engine, frame, load, n
from tests.support.v3_nodes import ComfyNode, NodeOutput, schema
from workers.engine.failures import NeedsExecutor
from workers.engine.registry import Registry


class Gain3(ComfyNode):
    @classmethod
    def define_schema(cls) -> SimpleNamespace:
        return schema(
            {"image": ("IMAGE",), "gain": ("FLOAT", {"min": 0.0})},
            optional={"mode": ("COMBO", {"options": ["up", "down"]})},
        )

    @classmethod
    def execute(cls, image: Any, gain: float, mode: str = "up") -> NodeOutput:
        assert type(gain) is float
        return NodeOutput(image * (gain if mode == "up" else 1 / gain), ui={"gain": [gain]})


def returning(answer: Any, outputs: tuple[str, ...] = ("IMAGE",), **more: Any) -> type:
    """A node that returns what ``answer(image)`` gives."""

    class Returns(ComfyNode):
        @classmethod
        def define_schema(cls) -> SimpleNamespace:
            return schema(outputs=outputs, **more)

        @classmethod
        def execute(cls, image: Any) -> Any:
            return answer(image)

    return Returns


def one(class_type: str, **inputs: Any) -> Graph:
    return around(x=n(class_type, image=["in", 0], **inputs))


def test_it_runs_and_gives_what_a_direct_call_gives() -> None:
    loaded = load(one("Gain3", gain="2", mode="down"), Gain3=Gain3)
    for seed in range(2):
        image = frame(seed)
        assert torch.equal(loaded.run(image), Gain3.execute(image, 2.0, "down").args[0])
    assert loaded.detail["graph"] == "resident"


@pytest.mark.parametrize(
    "answer",
    [
        lambda image: NodeOutput(image, 7),
        lambda image: (image, 7),
        lambda image: NodeOutput(image, 7, ui=object()),
    ],
)
def test_what_it_may_return(answer: Any) -> None:
    loaded = load(one("R"), R=returning(answer, ("IMAGE", "INT")))
    image = frame()
    assert loaded.run(image) is image


def test_a_node_without_outputs() -> None:
    seen = []
    graph = around() | {"w": n("W", image=["in", 0])}
    watcher = returning(lambda image: seen.append(image), (), is_output_node=True)
    load(graph, W=watcher).run(frame())
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda image: NodeOutput(image, expand={}), "expands into a subgraph"),
        (lambda image: NodeOutput(block_execution="not now"), "ExecutionBlocker"),
        (lambda image: NodeOutput(image, image), "2 outputs"),
        (lambda image: NodeOutput(), "0 outputs"),
    ],
)
def test_what_only_an_executor_can_follow_is_told_apart(answer: Any, words: str) -> None:
    loaded = load(one("R"), R=returning(answer))
    with pytest.raises(NeedsExecutor, match=words) as caught:
        loaded.run(frame())
    assert (caught.value.node_id, caught.value.node_type) == ("x", "R")


def test_hidden_inputs_are_on_the_class_that_is_called() -> None:
    seen = []

    class Hidden(ComfyNode):
        @classmethod
        def define_schema(cls) -> SimpleNamespace:
            names = ("unique_id", "prompt", "extra_pnginfo")
            return schema(hidden={name: name.upper() for name in names})

        @classmethod
        def execute(cls, image: Any) -> NodeOutput:
            seen.append((cls.hidden.unique_id, cls.hidden.prompt, cls.hidden.extra_pnginfo))
            return NodeOutput(image)

    graph = around(a=n("Hidden", image=["in", 0]), b=n("Hidden", image=["a", 0]))
    load(graph, Hidden=Hidden).run(frame())
    assert seen == [("a", graph, None), ("b", graph, None)]
    assert Hidden.hidden is None


@pytest.mark.parametrize(("answers", "runs"), [((1, 1), 1), ((1, 2), 3)])
def test_fingerprints_say_what_is_constant(answers: tuple[int, int], runs: int) -> None:
    given = itertools.cycle(answers)

    class Source(ComfyNode):
        asked_with: ClassVar[list[Any]] = []
        called: ClassVar[list[float]] = []

        @classmethod
        def define_schema(cls) -> SimpleNamespace:
            return schema({"level": ("FLOAT",)}, hidden={"unique_id": "UNIQUE_ID"})

        @classmethod
        def fingerprint_inputs(cls, **inputs: Any) -> int:
            cls.asked_with.append(inputs)
            return next(given)

        @classmethod
        def execute(cls, level: float) -> NodeOutput:
            cls.called.append(level)
            return NodeOutput(torch.full((1, 4, 6, 3), level))

    graph = around(s=n("Source", level=0.5), m=n("Mix", a=["s", 0], b=["in", 0]))
    loaded = load(graph, Source=Source)
    for _ in range(3):
        loaded.run(frame())
    assert Source.called == [0.5] * runs
    assert Source.asked_with == [{"level": 0.5}] * 2


def test_the_placeholders_of_the_base_class_are_not_asked() -> None:
    source = returning(lambda image: (image + 1,))
    loaded = load(around(k=n("Grey", level=0), s=n("S", image=["k", 0])), S=source)
    assert loaded.detail["constant_nodes"] == 3  # Grey, S, SaveTensor
    assert float(loaded.run(frame()).mean()) == 1.0


def test_its_own_validation() -> None:
    class Strict(Gain3):
        @classmethod
        def validate_inputs(cls, gain: float) -> bool | str:
            return True if gain == 3 else "gain must be 3"

    found = engine(Strict=Strict).check(parse_prompt(one("Strict", gain=2)))
    assert [(e.type, e.input_name) for e in found] == [("custom_validation_failed", "gain")]
    assert "gain must be 3" in found[0].message
    assert engine(Strict=Strict).check(parse_prompt(one("Strict", gain=3))) == []
    assert engine(G=Gain3).check(parse_prompt(one("G", gain=-1))) != []


def test_choices_of_which_several_may_be_taken() -> None:
    class Several(ComfyNode):
        @classmethod
        def define_schema(cls) -> SimpleNamespace:
            options = {"options": ["a", "b"], "multiselect": True}
            return schema({"image": ("IMAGE",), "which": ("COMBO", options)})

        @classmethod
        def execute(cls, image: Any, which: list[str]) -> NodeOutput:
            return NodeOutput(image * len(which))

    runner = engine(S=Several)
    graph = one("S", which={"__value__": ["a", "b"]})
    image = frame()
    assert torch.equal(runner.load(parse_prompt(graph)).run(image), image * 2)
    (error,) = runner.check(parse_prompt(one("S", which={"__value__": ["a", "c"]})))
    assert error.type == "value_not_in_list"


def test_undeclared_literals_arrive_only_where_all_are_accepted() -> None:
    class Open(ComfyNode):
        accepts: ClassVar[bool] = True

        @classmethod
        def define_schema(cls) -> SimpleNamespace:
            return schema(accept_all_inputs=cls.accepts)

        @classmethod
        def execute(cls, image: Any, **rest: Any) -> NodeOutput:
            return NodeOutput(image + len(rest))

    class Closed(Open):
        accepts = False

    image = frame()
    assert torch.equal(load(one("Open", row=1), Open=Open).run(image), image + 1)
    assert torch.equal(load(one("Closed", row=1), Closed=Closed).run(image), image)


def test_a_broken_schema_is_the_nodes_own_fault() -> None:
    class Broken(ComfyNode):
        @classmethod
        def define_schema(cls) -> SimpleNamespace:
            raise ValueError("ids must be unique")

    registry = Registry()
    registry.add("p", {"B": Broken, "G": Gain3}, {})
    assert list(registry.classes) == ["G"]
    assert registry.failed == {
        "p: B": "its schema cannot be read: ValueError: ids must be unique",
    }
