"""What runs or loads when a stream is to end: it is interrupted, and nothing begins any more."""

from __future__ import annotations

import queue
import threading
from typing import Any, cast

import numpy as np
import torch

from comfytrickle.messages import ParamsRejected, StreamConfig, UpdateParams
from tests.support.deaf import deaf
from tests.support.engine_nodes import Graph, around, n
from workers.engine.protocol import Engine, NodeFailed, RunContext
from workers.media.colour import Colour
from workers.media.frames import Frame
from workers.media.slot import Slot
from workers.stages.engine import EngineStage
from workers.stages.loader import Change, Loader
from workers.stages.queues import Handover
from workers.stages.stats import Stats

PATIENCE_S = 30.0
WORKFLOW: Graph = around(invert=n("ImageInvert", image=["in", 0]))


class Stuck:
    """An engine, and a workflow of it: what is named in ``where`` goes on until it is interrupted,
    and does not hear what comes before it has begun."""

    device = torch.device("cpu")

    def __init__(self, where: str) -> None:
        self.where = where
        self.detail: dict[str, Any] = {}
        self.begun = threading.Event()
        self.closed: list[str] = []
        self._interrupted = threading.Event()

    def load(self, _workflow: Any) -> Stuck:
        self._be("load")
        return self

    def run(self, image: torch.Tensor, context: RunContext | None = None) -> torch.Tensor:
        self._be("run")
        return image.clone()

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        self.closed.append(self.where)

    def _be(self, here: str) -> None:
        if here == self.where:
            self._interrupted.clear()
            self.begun.set()
            assert self._interrupted.wait(PATIENCE_S)
            raise NodeFailed("7", "Slow", "interrupted", interrupted=True)


def staged(engine: Stuck, slot: Slot, output: Handover[Frame], stats: Stats) -> EngineStage:
    def raised(_stage: str, error: Exception) -> None:
        raise error

    return EngineStage(
        StreamConfig("s", WORKFLOW), slot, output, stats, cast(Engine, engine),
        on_ready=lambda _s: None, on_params=print, on_failed=print, on_error=raised,
        **deaf(),
    )  # fmt: skip


def ended(stage: EngineStage) -> None:
    """Asked again until it is over, as a stream does."""
    for _ in range(int(PATIENCE_S * 20)):
        stage.interrupt()
        stage.join(0.05)
        if not stage.is_alive():
            return
    raise AssertionError("it goes on")


def test_a_run_is_interrupted_and_no_other_begins() -> None:
    engine, slot, output, stats = Stuck("run"), Slot(drop="never"), Handover[Frame](9), Stats()
    stage = staged(engine, slot, output, stats)
    stage.start()
    colour = Colour(matrix=1, full_range=False)
    for number in range(2):
        picture = np.zeros((64, 96, 3), np.uint8)
        assert slot.put(Frame(picture, number, colour, 0.0), timeout=PATIENCE_S)
    slot.close()
    assert engine.begun.wait(PATIENCE_S)
    ended(stage)
    assert output.get(PATIENCE_S) is None
    assert stage.dropped() == {"interrupted": 2}
    assert stats.node_errors == 0 and engine.closed


def test_a_poke_at_the_end_costs_no_frame() -> None:
    """A piece of sound, or a change, comes while the last frames wait."""
    slot, output = Slot(drop="never"), Handover[Frame](9)
    colour = Colour(matrix=1, full_range=False)
    for number in range(3):
        slot.put(Frame(np.zeros((64, 96, 3), np.uint8), number, colour, 0.0))
    slot.poke()
    slot.close()
    stage = staged(Stuck("nowhere"), slot, output, Stats())
    stage.start()
    stage.join(PATIENCE_S)
    out = []
    while (frame := output.get(PATIENCE_S)) is not None:
        out.append(frame.pts)
    assert out == [0, 1, 2]


def test_the_first_load_is_interrupted_and_the_stage_ends_in_order() -> None:
    engine, output = Stuck("load"), Handover[Frame](9)
    stage = staged(engine, Slot(), output, Stats())
    stage.start()
    assert engine.begun.wait(PATIENCE_S)
    ended(stage)
    assert output.get(PATIENCE_S) is None  # the end that the encoder waits for
    assert engine.closed


def test_a_load_beside_the_running_workflow_is_interrupted_at_the_end() -> None:
    engine = Stuck("load")
    changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
    loader = Loader(changes.put)
    loader.begin(cast(Engine, engine))
    loader.ask(UpdateParams(1, workflow=WORKFLOW))
    assert engine.begun.wait(PATIENCE_S)
    loader.end()
    change = changes.get(timeout=1)
    assert isinstance(change.answer, ParamsRejected)
    assert "node 7 (Slow): interrupted" in change.answer.reason
