"""What follows when a node fails: the policy, the mark, and the engine thread that obeys it."""

from __future__ import annotations

import queue
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
import torch

from comfytrickle.messages import (
    Failed,
    ParamsApplied,
    ParamsRejected,
    StreamConfig,
    UpdateParams,
)
from comfytrickle.testsrc import counter
from comfytrickle.testsrc.pattern import Pattern
from tests.support.deaf import deaf
from workers.engine.failures import node_failure
from workers.engine.protocol import Engine, NodeFailed, RunContext
from workers.media.frames import RGB, Colour, Frame
from workers.media.slot import Slot
from workers.stages.engine import EngineStage
from workers.stages.mark import marked
from workers.stages.node_errors import GaveOut, NodeErrors, Reaction
from workers.stages.queues import Handover
from workers.stages.stats import Stats

WORKFLOW = {
    "1": {"class_type": "LoadTensor", "inputs": {}},
    "2": {"class_type": "SaveTensor", "inputs": {"images": ["1", 0]}},
}

# --- the policy -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_error", "expected"),
    [
        ("restart", [Reaction.DROP, Reaction.DROP, Reaction.REPLACE]),
        ("passthrough", [Reaction.PASS] * 3),
        ("stop", [Reaction.DROP, Reaction.DROP, Reaction.END]),
    ],
)
def test_failures_in_a_row(on_error: str, expected: list[Reaction]) -> None:
    errors = NodeErrors(on_error, 3)
    assert [errors.failed() for _ in range(3)] == expected


@pytest.mark.parametrize("on_error", ["restart", "stop"])
def test_one_now_and_then_ends_nothing(on_error: str) -> None:
    errors = NodeErrors(on_error, 2)
    for _ in range(100):
        assert errors.failed() is Reaction.DROP
        errors.worked()
    assert errors.in_a_row == 0


@pytest.mark.parametrize("on_error", ["restart", "passthrough", "stop"])
def test_want_of_memory_replaces_the_worker_at_once(on_error: str) -> None:
    assert NodeErrors(on_error, 10_000).failed(out_of_memory=True) is Reaction.REPLACE


def test_a_change_keeps_the_count_and_what_it_does_not_name() -> None:
    errors = NodeErrors("passthrough", 5)
    for _ in range(4):
        errors.failed()
    errors.change()
    assert errors.failed() is Reaction.PASS
    errors.change(on_error="stop")
    assert errors.failed() is Reaction.END
    errors.change(after=8)
    assert errors.failed() is Reaction.DROP
    assert errors.failed() is Reaction.END


def test_giving_out_tells_the_node_and_how_often() -> None:
    error = NodeFailed("7", "Blur", "ValueError: no")
    gave_out = GaveOut(error, 30, final=True)
    assert (gave_out.node_id, gave_out.node_type, gave_out.final) == ("7", "Blur", True)
    assert gave_out.message == "ValueError: no (30 frames in a row)"
    assert str(gave_out) == "node 7 (Blur): ValueError: no (30 frames in a row)"
    assert GaveOut(error, 1, final=False).message == "ValueError: no (1 frame)"


# --- want of memory ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB."), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_want_of_memory_is_told_from_other_failures(error: Exception, is_memory: bool) -> None:
    assert node_failure("3", "Big", error).out_of_memory is is_memory


def test_want_of_the_machines_memory_brings_figures() -> None:
    message = node_failure("3", "Big", MemoryError("Unable to allocate 9 GiB")).message
    assert message.startswith("MemoryError: Unable to allocate 9 GiB (out of memory: the machine")
    assert message.endswith("B left)")


# --- the mark ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1920, 1080), (512, 512), (128, 96), (64, 64)])
def test_a_marked_picture_is_the_same_but_for_its_edge_and_a_corner(size: tuple[int, int]) -> None:
    picture = Pattern(*size).render(4711)
    before = picture.copy()
    out = marked(picture, size)
    assert np.array_equal(picture, before), "the source's picture is not drawn into"
    height, width, _ = out.shape
    edge, side = max(1, min(size) // 64), max(4, min(size) // 10)
    inner = np.s_[edge : height - edge, edge : width - edge]
    differs = (out != picture).any(axis=2)[inner]
    assert differs[-side:, -side:].any() and not differs[:-side].any()
    assert not differs[:, :-side].any()
    assert counter.read(out) == 4711
    for line in (out[0], out[-1], out[:, 0], out[:, -1]):
        colours = {tuple(int(c) for c in pixel) for pixel in line}
        assert colours == {(214, 24, 24), (255, 255, 255)}


@pytest.mark.parametrize("size", [(2, 2), (4, 2), (16, 16), (3, 500)])
def test_any_size_can_be_marked(size: tuple[int, int]) -> None:
    out = marked(np.zeros((size[1], size[0], 3), np.uint8), size)
    assert out.shape == (size[1], size[0], 3) and out.any()


def test_rows_may_be_padded() -> None:
    padded = np.zeros((64, 80, 3), np.uint8)
    out = marked(padded[:, :64], (64, 64))
    assert out.shape == (64, 64, 3) and out.flags.c_contiguous and not padded.any()


@pytest.mark.parametrize(("size", "grey"), [((100, 50), (50, 50)), ((60, 200), (60, 60))])
def test_another_size_shows_all_of_the_picture_in_the_middle(
    size: tuple[int, int], grey: tuple[int, int]
) -> None:
    out = marked(np.full((80, 80, 3), 99, np.uint8), size)
    assert out.shape == (size[1], size[0], 3)
    rows, columns = np.nonzero((out == 99).all(axis=2))
    middle = ((columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2)
    assert abs(middle[0] - size[0] / 2) <= 1 and abs(middle[1] - size[1] / 2) <= 1
    assert abs(len(rows) - grey[0] * grey[1]) < 0.2 * grey[0] * grey[1]


# --- the engine thread ------------------------------------------------------------------------


class Scripted:
    """A loaded workflow: for each frame an error, or what becomes of it."""

    def __init__(self, script: list[Any]) -> None:
        self.script = script
        self.detail: dict[str, Any] = {}

    def run(self, image: torch.Tensor, context: RunContext | None = None) -> torch.Tensor:
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return cast(torch.Tensor, step(image))

    def close(self) -> None:
        self.script = []


class ScriptedEngine:
    """Gives its workflows in their order."""

    device = torch.device("cpu")

    def __init__(self, *scripts: list[Any]) -> None:
        self._scripts = [Scripted(script) for script in scripts]

    def load(self, _workflow: Any) -> Scripted:
        return self._scripts.pop(0)

    def close(self) -> None:
        pass


def same(image: torch.Tensor) -> torch.Tensor:
    return image.clone()


def half(image: torch.Tensor) -> torch.Tensor:
    return image[:, ::2, ::2].clone()


def broken(message: str = "ValueError: no", *, out_of_memory: bool = False) -> NodeFailed:
    return NodeFailed("7", "Bad", message, "the traceback\n", out_of_memory=out_of_memory)


def picture(n: int) -> RGB:
    return np.full((64, 96, 3), n, np.uint8)


@dataclass
class Run:
    """One engine thread, from its start to its end."""

    stage: EngineStage
    slot: Slot
    output: Handover[Frame]
    stats: Stats
    failed: list[Failed] = field(default_factory=list)
    answers: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    ended_by: list[Exception] = field(default_factory=list)

    @classmethod
    def begin(cls, *scripts: list[Any], **config: Any) -> Run:
        slot, output, stats = Slot(drop="never"), Handover[Frame](1000), Stats()
        run: Run

        def answered(answer: ParamsApplied | ParamsRejected) -> None:
            run.answers.put(answer)

        stage = EngineStage(
            StreamConfig("s", WORKFLOW, **config), slot, output, stats,
            cast(Engine, ScriptedEngine(*scripts)),
            on_ready=lambda _s: None,
            on_params=answered,
            on_failed=lambda failed: run.failed.append(failed),
            on_error=lambda _stage, error: run.ended_by.append(error),
            **deaf(),
        )  # fmt: skip
        run = cls(stage, slot, output, stats)
        stage.start()
        return run

    def feed(self, *numbers: int) -> None:
        colour = Colour(matrix=1, full_range=False)
        for n in numbers:
            self.slot.put(Frame(picture(n), n, colour, 0.0), timeout=30)

    def end(self) -> list[RGB]:
        """Close it; the pictures that came out."""
        self.slot.close()
        self.stage.join(30)
        assert not self.stage.is_alive()
        out = []
        while (frame := self.output.get(1)) is not None:
            out.append(frame.rgb)
        return out


def is_marked(rgb: RGB) -> bool:
    return bool((rgb[0] == (214, 24, 24)).all(axis=1).any())


def values(pictures: list[RGB]) -> list[int]:
    return [int(rgb[20, 40, 0]) for rgb in pictures]


@pytest.mark.parametrize(("on_error", "final"), [("restart", False), ("stop", True)])
def test_failed_frames_are_dropped_until_it_gives_out(
    on_error: str, final: bool, caplog: pytest.LogCaptureFixture
) -> None:
    script = [same, broken(), broken(), same, broken(), broken(), broken("ValueError: last")]
    run = Run.begin(script, on_error=on_error, on_error_after=3)
    run.feed(*range(7))
    run.stage.join(30)
    assert values(run.end()) == [0, 3]
    (error,) = run.ended_by
    assert isinstance(error, GaveOut)
    assert (error.node_id, error.node_type, error.final) == ("7", "Bad", final)
    assert error.message == "ValueError: last (3 frames in a row)"
    assert error.__cause__ is None and error.__suppress_context__
    assert (run.stats.node_errors, run.stats.passed_through) == (5, 0)
    assert run.stage.dropped() == {"error": 5}
    assert "node 7 (Bad): ValueError: last" in caplog.text and "the traceback" in caplog.text


def test_what_is_told_of_a_failed_frame() -> None:
    run = Run.begin([broken("ValueError: first"), same], on_error_after=2)
    run.feed(0, 1)
    assert values(run.end()) == [1] and run.ended_by == []
    (failed,) = run.failed
    assert (failed.kind, failed.message) == ("node", "ValueError: first")
    assert (failed.node_id, failed.node_type, failed.retryable) == ("7", "Bad", True)
    assert failed.at is not None and failed.at > 1.7e9


def test_failed_frames_go_out_marked() -> None:
    run = Run.begin([same, broken(), broken(), same], on_error="passthrough", on_error_after=1)
    run.feed(10, 11, 12, 13)
    out = run.end()
    assert values(out) == [10, 11, 12, 13] and run.ended_by == []
    assert [is_marked(rgb) for rgb in out] == [False, True, True, False]
    assert (run.stats.node_errors, run.stats.passed_through) == (2, 2)
    assert run.stage.dropped() == {}


def test_a_marked_frame_has_the_size_of_those_that_work() -> None:
    run = Run.begin([broken(), half, broken(), half], on_error="passthrough")
    run.feed(10, 11, 12, 13)
    sizes = [rgb.shape[:2] for rgb in run.end()]
    assert sizes == [(64, 96), (32, 48), (32, 48), (32, 48)]


@pytest.mark.parametrize("on_error", ["restart", "passthrough", "stop"])
def test_want_of_memory_ends_the_worker_and_not_the_stream(on_error: str) -> None:
    run = Run.begin([same, broken("OutOfMemoryError: 9 GiB", out_of_memory=True)],
                    on_error=on_error)  # fmt: skip
    run.feed(0, 1)
    run.stage.join(30)
    assert values(run.end()) == [0]
    (error,) = run.ended_by
    assert isinstance(error, GaveOut) and not error.final
    assert (error.node_id, error.message) == ("7", "OutOfMemoryError: 9 GiB (1 frame)")


def params(revision: int, **changes: Any) -> UpdateParams:
    return UpdateParams(revision, **changes)


@pytest.mark.parametrize(
    ("change", "ends"),
    [
        ({"on_error": "stop", "on_error_after": 3}, True),
        ({"on_error": "stop", "on_error_after": 4}, False),
        ({"on_error": "stop", "on_error_after": 2, "workflow": WORKFLOW}, False),  # a new count
    ],
)
def test_it_can_be_changed_between_two_frames(change: dict[str, Any], ends: bool) -> None:
    run = Run.begin([broken(), broken(), broken(), same], [broken(), same], on_error="passthrough")
    run.feed(0, 1)
    while run.stats.passed_through < 2:
        run.stage.join(0.01)
    run.stage.update(params(1, **change))
    assert run.answers.get(timeout=30) == ParamsApplied(1)
    run.feed(2, 3)
    assert values(run.end()) == ([0, 1] if ends else [0, 1, 3])
    assert [type(error) for error in run.ended_by] == ([GaveOut] if ends else [])
