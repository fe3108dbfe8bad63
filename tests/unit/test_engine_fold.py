"""A folded workflow: what is left for an executor, and what stands for the rest."""

from __future__ import annotations

import gc
import weakref
from typing import Any, ClassVar

import pytest
import torch

from comfytrickle.workflow import parse_prompt
from tests.support.engine_nodes import CLASSES, Base, Graph, around, frame, load, n
from workers.engine.constants import Constants
from workers.engine.fold import Constant, Folded, fold
from workers.engine.protocol import NodeFailed
from workers.engine.resident import load_resident

CPU = torch.device("cpu")


def folded(graph: Graph, constants: Constants | None = None, **more: Any) -> Folded:
    return fold(parse_prompt(graph), {**CLASSES, **more}, CPU, constants or Constants())


def executed(work: Folded, image: torch.Tensor, **more: Any) -> torch.Tensor:
    """A slow executor: the frame, the constants, and every other node by a call."""

    def output(link: list[Any]) -> Any:
        node_id, index = link
        if node_id in work.constants:
            return work.constants[node_id].values[index]
        entry = work.api[node_id]
        if entry["class_type"] == "LoadTensor":
            return image
        node = {**CLASSES, **more}[entry["class_type"]]()
        arguments = {
            name: output(value) if isinstance(value, list) else value
            for name, value in entry["inputs"].items()
        }
        result = node.execute(**arguments)
        return (result["result"] if isinstance(result, dict) else result)[index]

    picture: torch.Tensor = output(work.api["out"]["inputs"]["images"])
    return picture


GRAPH = around(
    k=n("Grey", level=0.5),
    kk=n("Invert", image=["k", 0]),
    s=n("Split", image=["kk", 0]),
    m=n("Mix", a=["kk", 0], b=["in", 0]),
    o=n("Gain", image=["m", 0], gain=["s", 1], offset=0.5),
)


def test_the_constant_part_is_taken_out() -> None:
    work = folded(GRAPH)
    assert work.api == {node_id: GRAPH[node_id] for node_id in ("in", "m", "o", "out")}
    assert list(work.constants) == ["kk", "s"]  # what nobody reads any more is not there
    assert (work.live_nodes, work.constant_nodes) == (4, 3)
    split = work.constants["s"]
    assert split == Constant("Split", ("IMAGE", "FLOAT", "STRING"), (None, 0.5, None))
    image = frame()
    assert torch.equal(executed(work, image), load(GRAPH).run(image))


def test_a_constant_picture_may_go_straight_out() -> None:
    work = folded(around(k=n("Grey", level=0.25)))
    assert work.api.keys() == {"out"}
    assert float(executed(work, frame()).mean()) == 0.25


def test_what_reaches_the_way_in_and_what_leads_nowhere_is_left_out() -> None:
    graph = around(a=n("Invert", image=["in", 0])) | {"lonely": n("Grey", level=0)}
    graph["in"]["inputs"] = {"timeout_seconds": ["lonely", 0], "other": 3}
    work = folded(graph)
    assert work.api == {
        "in": n("LoadTensor", other=3),
        "a": graph["a"],
        "out": graph["out"],
    }
    assert work.constants == {}


class Expands(Base):
    def execute(self, image: Any) -> dict[str, Any]:
        return {"result": ([["e", 0]],), "expand": {"e": {}}}


class Blocks(Base):
    def execute(self, image: Any) -> tuple[Any]:
        return (type("ExecutionBlocker", (), {})(),)


class Lists(Base):
    INPUT_IS_LIST = True

    def execute(self, image: Any) -> tuple[Any]:
        raise AssertionError("only an executor knows how to call it")


class Lazy(Lists):
    INPUT_IS_LIST = False
    INPUTS: ClassVar[dict[str, Any]] = {"required": {"image": ("IMAGE", {"lazy": True})}}


class Async(Lists):
    INPUT_IS_LIST = False

    async def execute(self, image: Any) -> tuple[Any]:  # type: ignore[override]
        raise AssertionError("only an executor knows how to call it")


@pytest.mark.parametrize("cls", [Expands, Blocks, Lists, Lazy, Async])
def test_what_only_an_executor_does_stays_and_all_behind_it(cls: type) -> None:
    graph = around(
        k=n("Grey", level=0.5),
        odd=n("Odd", image=["k", 0]),
        behind=n("Invert", image=["odd", 0]),
        other=n("Invert", image=["k", 0]),
        m=n("Mix", a=["behind", 0], b=["in", 0]),
        o=n("Mix", a=["m", 0], b=["other", 0]),
    )
    work = folded(graph, Odd=cls)
    assert work.api.keys() == {"in", "odd", "behind", "m", "o", "out"}
    assert work.constants.keys() == {"k", "other"}


def test_it_shares_with_the_resident_graph_and_holds_until_it_is_closed() -> None:
    refs: list[weakref.ref[Any]] = []

    class Model(Base):
        INPUTS: ClassVar[dict[str, Any]] = {"required": {}}

        def execute(self) -> tuple[Any]:
            value = torch.ones(1, 4, 6, 3)
            refs.append(weakref.ref(value))
            return (value,)

    graph = around(k=n("Model"), m=n("Mix", a=["k", 0], b=["in", 0]))
    constants = Constants()
    work = folded(graph, constants, Model=Model)
    classes = {**CLASSES, "Model": Model}
    resident = load_resident(parse_prompt(graph), classes, CPU, "test", constants)
    image = frame()
    assert torch.equal(executed(work, image), resident.run(image))
    assert len(refs) == 1
    resident.close()
    assert constants.count() == 1
    work.close()
    work.close()
    assert constants.count() == 0
    del work
    gc.collect()  # executed() makes a cycle
    assert refs[0]() is None


def test_a_constant_node_that_raises() -> None:
    class Fails(Base):
        def execute(self, image: Any) -> tuple[Any]:
            raise ValueError("bad constant")

    constants = Constants()
    graph = around(k=n("Grey", level=0), f=n("Fails", image=["k", 0]))
    with pytest.raises(NodeFailed, match="bad constant"):
        folded(graph, constants, Fails=Fails)
    assert constants.count() == 0
