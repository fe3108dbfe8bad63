"""What goes wrong in a node, or before it can run, is told by its name."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from comfytrickle.errors import InvalidWorkflow, WorkerError
from comfytrickle.messages import EngineConfig
from tests.support.engine_nodes import Base, around, frame, load, n
from workers.engine.embedded import EmbeddedEngine
from workers.engine.protocol import NodeFailed
from workers.engine.registry import Registry


def failing(result: Any) -> type:
    class Fails(Base):
        def execute(self, image: Any) -> Any:
            return result(image)

    return Fails


def _raise(error: BaseException) -> Any:
    raise error


class ExecutionBlocker:
    """What ComfyUI's is called."""


async def _coroutine() -> None:
    return None


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (lambda image: image, "returned Tensor, not a tuple of 1"),
        (lambda image: (), "returned 0 outputs; its RETURN_TYPES promise 1"),
        (lambda image: (image, image), "returned 2 outputs"),
        (lambda image: None, "returned NoneType"),
        (lambda image: {"ui": {}}, "returned 0 outputs"),
        (lambda image: {"result": (image,), "expand": {}}, "expands into a subgraph"),
        (lambda image: ExecutionBlocker(), "ExecutionBlocker"),
        (lambda image: (ExecutionBlocker(),), "ExecutionBlocker"),
        (lambda image: _coroutine(), "asynchronous"),
        (lambda image: _raise(ZeroDivisionError("by zero")), "ZeroDivisionError: by zero"),
        (lambda image: sys.exit(3), "SystemExit: 3"),
        (lambda image: _raise(MemoryError()), "MemoryError"),
    ],
)
def test_a_failing_node_is_named_and_the_next_frame_may_succeed(
    result: Callable[[Any], Any], says: str
) -> None:
    fail = True
    cls = failing(lambda image: result(image) if fail else (image,))
    loaded = load(around(a=n("Invert", image=["in", 0]), f=n("Fails", image=["a", 0])), Fails=cls)
    with pytest.raises(NodeFailed) as caught:
        loaded.run(frame())
    assert (caught.value.node_id, caught.value.node_type) == ("f", "Fails")
    assert says in caught.value.message
    fail = False
    assert loaded.run(frame()).shape == (1, 4, 6, 3)


def test_a_failure_tells_where_but_prints_and_holds_no_tensor() -> None:
    refs: list[weakref.ref[torch.Tensor]] = []

    def explode(image: torch.Tensor) -> Any:
        refs.append(weakref.ref(image))
        raise ValueError("x" * 100_000)

    graph = around(a=n("Invert", image=["in", 0]), f=n("Fails", image=["a", 0]))
    loaded = load(graph, Fails=failing(explode))
    with pytest.raises(NodeFailed) as caught:
        loaded.run(frame())
    error = caught.value
    assert "in explode" in error.traceback
    assert "run_steps" not in error.traceback
    assert len(error.message) < 2000
    assert len(error.traceback) < 10_000
    assert refs[0]() is None  # although the error itself is still held
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("text", "got str, not an image"),
        (torch.zeros(4, 6, 3), "shape [4, 6, 3]"),
        (torch.zeros(1, 4, 6, 2), "shape [1, 4, 6, 2]"),
        (torch.zeros(0, 4, 6, 3), "shape [0, 4, 6, 3]"),
        (torch.zeros(1, 4, 6, 3, dtype=torch.uint8), "torch.uint8"),
    ],
)
def test_what_reaches_the_output_must_be_a_picture(value: Any, says: str) -> None:
    loaded = load(around(f=n("Fails", image=["in", 0])), Fails=failing(lambda _: (value,)))
    with pytest.raises(NodeFailed) as caught:
        loaded.run(frame())
    assert (caught.value.node_id, caught.value.node_type) == ("out", "SaveTensor")
    assert says in caught.value.message


def test_a_constant_or_unbuildable_node_fails_at_load() -> None:
    class Unbuildable(Base):
        def __init__(self) -> None:
            raise OSError("no model")

        def execute(self, image: Any) -> tuple[Any]:
            return (image,)

    with pytest.raises(NodeFailed, match=r"node u \(Unbuildable\): OSError: no model"):
        load(around(u=n("Unbuildable", image=["in", 0])), Unbuildable=Unbuildable)
    graph = around(k=n("Grey", level=0.5), f=n("Fails", image=["k", 0]))
    with pytest.raises(NodeFailed, match="node f"):
        load(graph, Fails=failing(lambda image: _raise(ValueError("bad constant"))))


def test_load_refuses_what_check_finds() -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        load(around(g=n("Gain", image=["in", 0])))
    assert [error.type for error in caught.value.errors] == ["required_input_missing"]
    assert "node g (Gain)" in str(caught.value)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_engine_uses_the_threads_it_is_given() -> None:
    built = EmbeddedEngine(EngineConfig(threads=2), Registry())
    assert torch.get_num_threads() == 2
    assert built.device == torch.device("cpu")
    built.close()
    built.close()


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(WorkerError, match="no torch device"):
        EmbeddedEngine(EngineConfig(device="toaster"), Registry())
    if not torch.cuda.is_available():
        with pytest.raises(WorkerError, match="sees no CUDA"):
            EmbeddedEngine(EngineConfig(device="cuda:0"), Registry())
