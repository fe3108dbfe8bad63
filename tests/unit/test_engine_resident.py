"""The resident graph gives what a plain evaluation gives, and does no work twice."""

from __future__ import annotations

import gc
import itertools
import math
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

from tests.support.engine_nodes import CLASSES, Base, Graph, around, frame, load, n
from workers.engine.protocol import RunContext


def reference(graph: Graph, image: torch.Tensor) -> torch.Tensor:
    """Straightforward and slow: evaluates the output recursively, with no cache."""

    def output(link: list[Any]) -> Any:
        entry = graph[link[0]]
        if entry["class_type"] == "LoadTensor":
            return image
        cls = CLASSES[entry["class_type"]]
        declared = cls.INPUT_TYPES()
        types = {**declared["required"], **declared.get("optional", {})}
        arguments = {}
        for name, value in entry["inputs"].items():
            if isinstance(value, list):
                arguments[name] = output(value)
            else:
                arguments[name] = float(value) if types[name][0] == "FLOAT" else value
        result = getattr(cls(), cls.FUNCTION)(**arguments)
        return (result["result"] if isinstance(result, dict) else result)[link[1]]

    value: torch.Tensor = output(graph["out"]["inputs"]["images"])
    return value


GRAPHS: dict[str, Graph] = {
    "passthrough": around(),
    "invert": around(a=n("Invert", image=["in", 0])),
    "ten deep": around(**{f"i{k}": n("Invert", image=[f"i{k - 1}" if k else "in", 0])
                          for k in range(10)}),
    "diamond": around(
        a=n("Gain", image=["in", 0], gain=2),
        b=n("Invert", image=["in", 0]),
        c=n("Mix", a=["a", 0], b=["b", 0]),
        d=n("Mix", a=["c", 0], b=["in", 0]),
    ),
    "several outputs": around(
        s=n("Split", image=["in", 0]),
        g=n("Gain", image=["s", 0], gain=["s", 1], offset=0.5),
    ),
    "constant part": around(
        k=n("Grey", level=0.5),
        kk=n("Invert", image=["k", 0]),
        m=n("Mix", a=["kk", 0], b=["in", 0]),
        o=n("Mix", a=["m", 0], b=["k", 0]),
    ),
    "all constant": around(k=n("Grey", level="0.125"), kk=n("Invert", image=["k", 0])),
    "same input twice": around(m=n("Mix", a=["in", 0], b=["in", 0])),
    "in any order": dict(reversed(around(
        a=n("Invert", image=["in", 0]), b=n("Gain", image=["a", 0], gain=0.5)).items())),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_gives_what_a_plain_evaluation_gives(name: str) -> None:
    graph = GRAPHS[name]
    loaded = load(graph)
    for seed in range(3):
        image = frame(seed)
        kept = image.clone()
        assert torch.equal(loaded.run(image), reference(graph, kept))
        assert torch.equal(image, kept)


def test_detail_says_how_it_runs() -> None:
    assert load(GRAPHS["constant part"]).detail == {
        "engine": "embedded",
        "graph": "resident",
        "live_nodes": 4,
        "constant_nodes": 2,
    }


def test_runs_in_inference_mode() -> None:
    class Look(Base):
        def execute(self, image: Any) -> tuple[Any]:
            assert torch.is_inference_mode_enabled()
            return (image * torch.nn.Parameter(torch.ones(1)),)

    loaded = load(around(a=n("Look", image=["in", 0])), Look=Look)
    assert not loaded.run(frame()).requires_grad
    assert not torch.is_inference_mode_enabled()


_NUMBERS = itertools.count()


class Counting:
    """Makes node classes that count."""

    def __init__(self, is_changed: Callable[..., Any] | None = None) -> None:
        self.built = self.called = 0
        outer = self

        class Counted(Base):
            INPUTS: ClassVar[dict[str, Any]] = {
                "required": {},
                "optional": {"image": ("IMAGE",), "level": ("FLOAT", {})},
            }

            def __init__(self) -> None:
                outer.built += 1

            def execute(self, image: Any = None, level: float = 0.5) -> tuple[Any]:
                outer.called += 1
                return (torch.full((1, 4, 6, 3), level) if image is None else image,)

        if is_changed is not None:
            Counted.IS_CHANGED = is_changed  # type: ignore[attr-defined]
        self.cls = Counted


def test_the_constant_part_is_computed_once_and_nodes_are_built_once() -> None:
    constant, live = Counting(), Counting()
    graph = around(
        k=n("K", level=0.25),
        k2=n("K", image=["k", 0]),
        live=n("L", image=["in", 0]),
        m=n("Mix", a=["k2", 0], b=["live", 0]),
    )
    loaded = load(graph, K=constant.cls, L=live.cls)
    assert (constant.built, constant.called) == (2, 2)
    assert (live.built, live.called) == (1, 0)
    for _ in range(5):
        loaded.run(frame())
    assert (constant.built, constant.called) == (2, 2)
    assert (live.built, live.called) == (1, 5)


@pytest.mark.parametrize(
    ("is_changed", "runs_each_time"),
    [
        (lambda **_: math.nan, True),
        (lambda **_: next(_NUMBERS), True),
        (lambda **kwargs: kwargs["no such input"], True),  # raises: as in ComfyUI, it runs
        (lambda **_: "the same", False),
        (lambda level, image=None: (level, image), False),
        (None, False),
    ],
)
def test_is_changed(is_changed: Callable[..., Any] | None, runs_each_time: bool) -> None:
    counting, behind = Counting(is_changed), Counting()
    graph = around(k=n("K", level=0.25), b=n("B", image=["k", 0]))
    loaded = load(graph, K=counting.cls, B=behind.cls)
    at_load = counting.called
    for _ in range(3):
        loaded.run(frame())
    assert counting.called == (3 if runs_each_time else 1)
    assert at_load == (0 if runs_each_time else 1)
    assert behind.called == counting.called  # what depends on it changes with it


def test_nodes_that_lead_nowhere_do_not_run_and_other_outputs_do() -> None:
    lonely, watcher = Counting(), Counting()
    watcher.cls.OUTPUT_NODE = True  # type: ignore[attr-defined]
    graph = around()
    graph |= {"l": n("Lonely", image=["in", 0]), "w": n("Watcher", image=["in", 0])}
    loaded = load(graph, Lonely=lonely.cls, Watcher=watcher.cls)
    loaded.run(frame())
    assert (lonely.built, lonely.called) == (0, 0)
    assert watcher.called == 1
    assert loaded.detail["live_nodes"] == 3


def test_intermediates_are_dropped_as_soon_as_nobody_needs_them() -> None:
    made: list[weakref.ref[torch.Tensor]] = []
    alive: list[list[bool]] = []

    class Track(Base):
        def execute(self, image: Any) -> tuple[Any]:
            alive.append([ref() is not None for ref in made])
            new = image + 0.1
            made.append(weakref.ref(new))
            return (new,)

    graph = around(
        a=n("Track", image=["in", 0]),
        b=n("Track", image=["a", 0]),
        c=n("Track", image=["b", 0]),
        d=n("Track", image=["c", 0]),
    )
    loaded = load(graph, Track=Track)
    gc.disable()
    try:
        out = loaded.run(frame())
    finally:
        gc.enable()
    # While a node runs, its input lives, and nothing before it.
    assert alive == [[], [True], [False, True], [False, False, True]]
    assert [ref() is not None for ref in made] == [False, False, False, True]
    assert made[-1]() is out
    del out
    assert made[-1]() is None


def test_the_frame_is_not_held_after_a_run() -> None:
    loaded = load(GRAPHS["diamond"])
    image = frame()
    ref = weakref.ref(image)
    loaded.run(image)
    del image
    assert ref() is None


def test_hidden_inputs() -> None:
    class Hidden(Base):
        INPUTS: ClassVar[dict[str, Any]] = {
            "required": {"image": ("IMAGE",)},
            "hidden": {"me": "UNIQUE_ID", "all": "PROMPT", "extra": "EXTRA_PNGINFO"},
        }
        seen: ClassVar[list[Any]] = []

        def execute(self, image: Any, me: str, all: Any, extra: object) -> tuple[Any]:  # noqa: A002
            self.seen.append((me, all, extra))
            return (image,)

    graph = around(h=n("Hidden", image=["in", 0]))
    load(graph, Hidden=Hidden).run(frame())
    assert Hidden.seen == [("h", graph, None)]


def test_links_to_undeclared_inputs_arrive_and_unknown_literals_do_not() -> None:
    class Open(Base):
        def execute(self, **kwargs: Any) -> tuple[Any]:
            assert set(kwargs) == {"image", "extra"}
            return (kwargs["image"] + kwargs["extra"],)

    graph = around(o=n("Open", image=["in", 0], extra=["in", 0], note="for people"))
    image = frame()
    assert torch.equal(load(graph, Open=Open).run(image), image * 2)


def test_state_stays_in_a_node_between_frames() -> None:
    class Previous(Base):
        def __init__(self) -> None:
            self.last: Any = None

        def execute(self, image: Any) -> tuple[Any]:
            last, self.last = self.last, image
            return (image if last is None else last,)

    loaded = load(around(p=n("Previous", image=["in", 0])), Previous=Previous)
    frames = [frame(seed) for seed in range(3)]
    outputs = [loaded.run(image) for image in frames]
    assert [out is image for out, image in zip(outputs[1:], frames, strict=False)] == [True, True]


def test_text_is_taken_beside_the_frame() -> None:
    graph = around(s=n("Split", image=["in", 0]))
    graph["t"] = n("SaveTextTensor", data=["s", 2])
    graph["fixed"] = n("SaveTextTensor", data="hello")
    loaded = load(graph)
    image = torch.full((1, 4, 6, 3), 0.5)
    context = RunContext()
    assert torch.equal(loaded.run(image, context), image)
    assert context.taken == {"t": {"data": "0.500"}, "fixed": {"data": "hello"}}
    assert torch.equal(loaded.run(image), image)


def test_close_drops_nodes_and_constants() -> None:
    refs: list[weakref.ref[Any]] = []

    class Holds(Base):
        INPUTS: ClassVar[dict[str, Any]] = {"required": {}}

        def execute(self) -> tuple[Any]:
            tensor = torch.zeros(1, 4, 6, 3)
            refs.extend((weakref.ref(self), weakref.ref(tensor)))
            return (tensor,)

    graph = around(h=n("Holds"), m=n("Mix", a=["h", 0], b=["in", 0]))
    loaded = load(graph, Holds=Holds)
    assert all(ref() is not None for ref in refs)
    loaded.close()
    loaded.close()
    assert [ref() for ref in refs] == [None, None]
