"""A warm worker's models are there until the stream has loaded its own workflow, and then its."""

from __future__ import annotations

import gc
import weakref
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from comfytrickle.messages import ConfigureWarm, EngineConfig, StreamConfig
from tests.support.deaf import deaf
from tests.support.engine_nodes import Base, Graph, around, engine, n
from tests.support.sound_nodes import hearing, sound_engine
from workers.engine.protocol import NodeFailed
from workers.media.colour import Colour
from workers.media.frames import Frame
from workers.media.slot import Slot
from workers.stages.engine import EngineStage
from workers.stages.queues import Handover
from workers.stages.stats import Stats
from workers.warm_engine import WarmEngine, warm_engine

GRAPH = around(k=n("Model"), u=n("Use", image=["in", 0], model=["k", 0]))


class Weights:
    """What a loader gives."""


class Nodes:
    """Node classes that tell what happens to them."""

    def __init__(self) -> None:
        self.loaded: list[weakref.ref[Weights]] = []
        self.sizes: list[list[tuple[int, int]]] = []  # of the frames that each Use has seen
        outer = self

        class Model(Base):
            RETURN_TYPES = ("MODEL",)
            INPUTS: ClassVar[dict[str, Any]] = {"required": {}}

            def execute(self) -> tuple[Any]:
                weights = Weights()
                outer.loaded.append(weakref.ref(weights))
                return (weights,)

        class Use(Base):
            INPUTS: ClassVar[dict[str, Any]] = {
                "required": {"image": ("IMAGE",), "model": ("MODEL",)},
                "optional": {"fail": ("BOOLEAN", {})},
            }

            def __init__(self) -> None:
                self.seen: list[tuple[int, int]] = []
                outer.sizes.append(self.seen)

            def execute(self, image: torch.Tensor, model: Any, fail: bool = False) -> tuple[Any]:
                assert isinstance(model, Weights)
                if fail:
                    raise ValueError("cannot")
                self.seen.append((image.shape[2], image.shape[1]))
                return (image,)

        self.classes = {"Model": Model, "Use": Use}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    found = Nodes()
    monkeypatch.setattr("workers.warm_engine.build_engine", lambda _: engine(**found.classes))
    return found


def warm(graph: Graph | None = GRAPH) -> WarmEngine:
    return warm_engine(ConfigureWarm(EngineConfig(), graph, width=64, height=32))


def stream(warmed: WarmEngine, graph: Graph, frames: int) -> list[Exception]:
    """One stream on it, from its start to its end."""
    slot, output, failed = Slot(drop="never"), Handover[Frame](100), []
    stage = EngineStage(
        StreamConfig("s", graph), slot, output, Stats(), warmed.engine, warmed.workflow,
        on_ready=lambda _: None,
        on_params=lambda _: None,
        on_failed=lambda _: None,
        on_error=lambda _stage, error: failed.append(error),
        **deaf(),
    )  # fmt: skip
    stage.start()
    for index in range(frames):
        rgb = np.zeros((16, 24, 3), np.uint8)
        slot.put(Frame(rgb, index, Colour(matrix=1, full_range=False), 0.0), timeout=30)
    slot.close()
    stage.join(30)
    assert not stage.is_alive()
    return failed


def test_the_stream_takes_over_the_models_but_no_state(nodes: Nodes) -> None:
    warmed = warm()
    assert nodes.sizes == [[(64, 32)] * 2]
    assert nodes.loaded[0]() is not None
    assert stream(warmed, GRAPH, frames=3) == []
    assert nodes.sizes == [[(64, 32)] * 2, [(24, 16)] * 3]
    assert [ref() for ref in nodes.loaded] == [None]  # loaded once, gone with the stream


def test_silence_warms_a_sound_part(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[tuple[list[int], int]] = []

    class Listen(Base):
        RETURN_TYPES = ("AUDIO",)
        INPUTS: ClassVar[dict[str, Any]] = {"required": {"audio": ("AUDIO",)}}

        def execute(self, audio: Any) -> tuple[Any]:
            assert not audio["waveform"].any()
            pieces.append((list(audio["waveform"].shape), audio["sample_rate"]))
            return (audio,)

    built = sound_engine(Listen=Listen)
    monkeypatch.setattr("workers.warm_engine.build_engine", lambda _: built)
    warmed = warm(hearing(a=n("Listen", audio=["sound", 0])))
    assert pieces == [([1, 1, 4800], 48_000)] * 2
    assert warmed.workflow is not None and warmed.workflow.picture is None
    warmed.workflow.close()
    warmed.engine.close()


def test_a_stream_with_another_workflow_lets_the_models_go(nodes: Nodes) -> None:
    warmed = warm()
    dropped_at: list[bool] = []

    class Look(Base):
        def execute(self, image: Any) -> tuple[Any]:
            dropped_at.append(nodes.loaded[0]() is None)
            return (image,)

    warmed.engine = engine(Look=Look)
    assert stream(warmed, around(a=n("Look", image=["in", 0])), frames=2) == []
    assert dropped_at == [True, True]


def test_a_stream_that_cannot_load_lets_them_go(nodes: Nodes) -> None:
    warmed = warm()
    (error,) = stream(warmed, around(a=n("Nowhere", image=["in", 0])), frames=0)
    assert "Nowhere" in str(error)
    assert nodes.loaded[0]() is None


def test_without_a_workflow_only_the_engine_is_there(nodes: Nodes) -> None:
    warmed = warm(None)
    assert warmed.workflow is None
    assert stream(warmed, GRAPH, frames=1) == []
    assert len(nodes.loaded) == 1


def test_a_warm_up_that_fails_leaves_nothing(nodes: Nodes) -> None:
    graph = around(k=n("Model"), u=n("Use", image=["in", 0], model=["k", 0], fail=True))
    with pytest.raises(NodeFailed, match="cannot"):
        warm(graph)
    gc.collect()  # the error and its traceback
    assert nodes.loaded[0]() is None
