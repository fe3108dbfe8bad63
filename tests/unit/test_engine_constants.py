"""Constant nodes run once for all workflows of an engine, and are held while one uses them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from comfytrickle.workflow import parse_prompt
from tests.support.engine_nodes import CLASSES, Base, Graph, around, engine, frame, n
from workers.engine.constants import Constants, Made
from workers.engine.protocol import NodeFailed
from workers.engine.resident import load_resident

_WAIT_S = 30.0


class Model:
    """Something large."""


def made(model: object) -> Callable[[], Made]:
    return lambda: Made((model,), None)


def test_an_entry_lives_as_long_as_somebody_uses_it() -> None:
    constants = Constants()
    model = Model()
    gone = weakref.ref(model)
    first, second = constants.lease(), constants.lease()
    assert first.outputs("k", made(model)) == (model,)
    assert first.outputs("k", made(None)) == (model,)  # taken twice, counted once
    assert second.outputs("k", made(None)) == (model,)
    del model
    first.close()
    first.close()
    assert constants.count() == 1 and gone() is not None
    second.close()
    assert constants.count() == 0 and gone() is None


def test_what_failed_is_tried_again() -> None:
    constants = Constants()

    def fail() -> Made:
        raise OSError("no such file")

    lease = constants.lease()
    with pytest.raises(OSError, match="no such file"):
        lease.outputs("k", fail)
    assert constants.count() == 0
    assert lease.outputs("k", made(1)) == (1,)
    lease.close()


def test_of_two_threads_one_makes_it_and_the_other_waits() -> None:
    constants = Constants()
    begun, go = threading.Event(), threading.Event()
    results: list[Any] = []

    def slow() -> Made:
        begun.set()
        assert go.wait(_WAIT_S)
        return Made((Model(),), None)

    def take(make: Callable[[], Made]) -> None:
        results.append(constants.take("k", make).outputs[0])

    threads = [threading.Thread(target=take, args=(slow,))]
    threads[0].start()
    assert begun.wait(_WAIT_S)
    threads.append(threading.Thread(target=take, args=(made("another"),)))
    threads[1].start()
    other = constants.lease()
    assert other.outputs("x", made(1)) == (1,)  # of another key: does not wait
    go.set()
    for thread in threads:
        thread.join(_WAIT_S)
    assert isinstance(results[0], Model)
    assert results[0] is results[1]


class Source(Base):
    """A constant node that counts; ``level`` makes one differ from another."""

    RETURN_TYPES = ("IMAGE", "FLOAT")
    INPUTS: ClassVar[dict[str, Any]] = {
        "required": {"level": ("FLOAT", {})},
        "optional": {"other": ("INT", {}), "image": ("IMAGE",)},
    }
    called: ClassVar[list[float]]

    def execute(self, level: float, other: int = 0, image: Any = None) -> tuple[Any, float]:
        self.called.append(level)
        return torch.full((1, 4, 6, 3), level), level


def source(**attributes: Any) -> type[Source]:
    return type("Source", (Source,), {"called": [], **attributes})


def mixed(live: str = "Invert", **inputs: Any) -> Graph:
    """A frame mixed with what a Source gives; ``live`` runs for each frame."""
    return around(
        s=n("Source", **{"level": 0.5, **inputs}),
        i=n(live, image=["in", 0], **({"gain": 2} if live == "Gain" else {})),
        m=n("Mix", a=["s", 0], b=["i", 0]),
    )


def test_a_change_of_workflow_keeps_what_both_use() -> None:
    cls = source()
    runner = engine(Source=cls)
    old = runner.load(parse_prompt(mixed("Invert")))
    image = frame()
    before = old.run(image)
    new = runner.load(parse_prompt(mixed("Gain")))
    assert torch.equal(old.run(image), before)
    old.close()
    assert torch.equal(new.run(image), (0.5 + image * 2 + 0.25) / 2)
    assert cls.called == [0.5]
    new.close()
    runner.load(parse_prompt(mixed("Gain"))).close()
    assert cls.called == [0.5, 0.5]  # nobody held it between
    assert runner._constants.count() == 0


def test_an_output_that_only_the_second_workflow_reads() -> None:
    cls = source()
    runner = engine(Source=cls)
    old = runner.load(parse_prompt(mixed()))
    graph = mixed("Gain")
    graph["i"]["inputs"]["gain"] = ["s", 1]
    new = runner.load(parse_prompt(graph))
    image = frame()
    assert torch.equal(new.run(image), (0.5 + image * 0.5 + 0.25) / 2)
    assert cls.called == [0.5]
    old.close()
    new.close()


def test_the_next_workflow_is_loaded_while_one_runs() -> None:
    inside, go = threading.Event(), threading.Event()

    class Slow(Base):
        INPUTS: ClassVar[dict[str, Any]] = {"required": {"image": ("IMAGE",)}}

        def execute(self, image: Any) -> tuple[Any]:
            inside.set()
            assert go.wait(_WAIT_S)
            return (image,)

    runner = engine(Source=source(), Slow=Slow)
    old = runner.load(parse_prompt(mixed()))
    graph = mixed()
    graph["c"] = n("Slow", image=["s", 0])
    graph["m"]["inputs"]["a"] = ["c", 0]
    loaded: list[Any] = []
    thread = threading.Thread(target=lambda: loaded.append(runner.load(parse_prompt(graph))))
    thread.start()
    assert inside.wait(_WAIT_S)
    image = frame()
    expected = old.run(image)
    go.set()
    thread.join(_WAIT_S)
    old.close()
    assert torch.equal(loaded[0].run(image), expected)
    loaded[0].close()


def test_a_load_that_fails_holds_nothing() -> None:
    class Fails(Base):
        def execute(self, image: Any) -> tuple[Any]:
            raise ValueError("bad constant")

    runner = engine(Source=source(), Fails=Fails)
    graph = around(s=n("Source", level=1), f=n("Fails", image=["s", 0]))
    with pytest.raises(NodeFailed, match="bad constant"):
        runner.load(parse_prompt(graph))
    assert runner._constants.count() == 0


def calls(cls: type[Source], *graphs: Graph) -> int:
    """How often Source is called when these are loaded beside each other."""
    runner = engine(Source=cls)
    loaded = [runner.load(parse_prompt(graph)) for graph in graphs]
    for each in loaded:
        each.close()
    return len(cls.called)


def twice(first: dict[str, Any], second: dict[str, Any]) -> Graph:
    return around(
        s=n("Source", **first), t=n("Source", **second), m=n("Mix", a=["s", 0], b=["t", 0])
    )


@pytest.mark.parametrize(
    ("change", "times"),
    [
        ({}, 1),
        ({"level": "0.5"}, 1),  # the node gets the same
        ({"note": "not an input of it"}, 1),
        ({"level": 0.25}, 2),
        ({"other": 0}, 2),
    ],
)
def test_what_makes_a_node_another_one(change: dict[str, Any], times: int) -> None:
    assert calls(source(), mixed(), mixed(**change)) == times


def test_its_ancestry_does() -> None:
    def behind(level: float) -> Graph:
        graph = mixed(image=["g", 0])
        graph["g"] = n("Grey", level=level)
        return graph

    assert calls(source(), behind(0.5), behind(0.5)) == 1
    assert calls(source(), behind(0.5), behind(0.25)) == 2


def test_equal_nodes_of_one_workflow_share_as_in_comfyui() -> None:
    same = {"level": 0.5}
    assert calls(source(), twice(same, same)) == 1
    assert calls(source(), twice(same, {"level": 0.25})) == 2
    assert calls(source(NOT_IDEMPOTENT=True), twice(same, same)) == 2


@pytest.mark.parametrize(
    ("wanted", "in_one", "in_two"), [("UNIQUE_ID", 2, 1), ("PROMPT", 1, 2), ("EXTRA_PNGINFO", 1, 1)]
)
def test_what_a_node_sees_beside_its_inputs(wanted: str, in_one: int, in_two: int) -> None:
    def execute(self: Any, level: float, seen: object) -> Any:
        return Source.execute(self, level)

    def cls() -> type[Source]:
        inputs = {"required": {"level": ("FLOAT", {})}, "hidden": {"seen": wanted}}
        return source(INPUTS=inputs, execute=execute)

    same = {"level": 0.5}
    assert calls(cls(), twice(same, same)) == in_one
    assert calls(cls(), mixed("Invert"), mixed("Gain")) == in_two


@pytest.mark.parametrize(
    ("answers", "times"),
    [
        ([b"digest", b"digest"], 1),
        ([{"a": [1, None]}, {"a": [1, None]}], 1),
        (["file of monday", "file of tuesday"], 2),
        ([1, "1"], 2),
        ([(Model,), (Model,)], 2),  # nobody can tell
    ],
)
def test_what_is_changed_answers_at_each_load(answers: list[Any], times: int) -> None:
    asked = iter([answer for answer in answers for _ in range(2)])
    changed = classmethod(lambda cls, level: next(asked))
    assert calls(source(IS_CHANGED=changed), mixed(), mixed()) == times


def test_pictures_are_moved_where_they_leave_the_constant_part() -> None:
    devices: list[str] = []

    class Look(Base):
        def execute(self, image: Any) -> tuple[Any]:
            devices.append(image.device.type)
            return (image + 0,)

    graph = around(
        s=n("Source", level=1),
        a=n("Look", image=["s", 0]),
        b=n("Look", image=["a", 0]),
        m=n("Mix", a=["b", 0], b=["in", 0]),
        c=n("Look", image=["m", 0]),
    )
    classes = {**CLASSES, "Source": source(), "Look": Look}
    constants = Constants()
    meta = torch.device("meta")
    loaded = load_resident(parse_prompt(graph), classes, meta, "test", constants)
    assert loaded.run(frame().to(meta)).device.type == "meta"
    assert devices == ["cpu", "cpu", "meta"]
    loaded.close()
