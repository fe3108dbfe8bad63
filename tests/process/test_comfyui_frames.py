"""How the comfyui engine runs frames, on each generation of ComfyUI's interface.

On workspaces that the tests write, and on a copy of the ComfyUI that COMFYUI_WORKSPACE names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support import comfyui_engine_child as engine
from tests.support.comfyui_lab import Child
from tests.support.comfyui_started import (
    FRAME,
    INVERT,
    Graph,
    Picture,
    Started,
    graph,
    picture,
    reasons,
    run,
    swapped,
)


def test_resident_after_the_first_frame_was_compared(child: Child) -> None:
    grey = {"width": 8, "height": 6, "batch_size": 1, "color": 0x808080}
    mixed = graph(
        n3=("EmptyImage", grey),
        n4=("ImageInvert", {"image": ["3", 0]}),
        n2=(
            "ImageBlend",
            {"image1": FRAME, "image2": ["4", 0], "blend_factor": 0.25, "blend_mode": "normal"},
        ),
    )
    before = child.ask(engine.load, "mixed", mixed)
    assert before["engine"] == "comfyui" and before["checked"] is False
    for seed in (1, 2, 3):
        out = child.ask(engine.frame, "mixed", picture(seed))
        expected = picture(seed) * 0.75 + (1 - 0x80 / 255) * 0.25
        np.testing.assert_allclose(out, expected, atol=1e-6)
        after = child.ask(engine.detail, "mixed")
        assert (after["graph"], after["checked"], after["reasons"]) == ("resident", True, [])
    assert after["constant_nodes"] == 2 and after["live_nodes"] >= 1
    child.ask(engine.close, "mixed")


LAZY = graph(
    n3=("ProbeFail", {"image": FRAME, "at": 0.5}),  # would raise, but is never asked for
    n2=("ProbeLazy", {"first": FRAME, "second": ["3", 0], "use_second": False}),
)
HALVES = graph(n3=("ProbeRows", {"image": FRAME}), n2=("ProbeJoin", {"image": ["3", 0]}))
EXPAND = graph(n2=("ProbeExpand", {"image": FRAME}))
ASYNC = graph(n2=("ProbeAsync", {"image": FRAME}))


def half(seed: int) -> Picture:
    image = picture(seed)
    image[0, 0, 0, 0] = 0.5
    return image


@pytest.mark.parametrize(
    ("workflow", "expected", "who"),
    [
        (LAZY, lambda image: image, {("2", "ProbeLazy")}),
        (HALVES, swapped, {("3", "ProbeRows"), ("2", "ProbeJoin")}),
        (EXPAND, lambda image: 1 - (1 - image), {("2", "ProbeExpand")}),
    ],
    ids=["lazy", "lists", "expand"],
)
def test_by_comfyuis_executor(
    child: Child, workflow: Graph, expected: Any, who: set[tuple[str, str]]
) -> None:
    """Each frame is a new one: an executor that caches would give the first one for ever."""
    outputs, detail = run(child, workflow, *(half(seed) for seed in (1, 2, 3)))
    for seed, out in zip((1, 2, 3), outputs, strict=True):
        assert np.array_equal(out, expected(half(seed)))
    assert detail["graph"] == "executor"
    assert set(reasons(detail)) == who and all(reason["why"] for reason in detail["reasons"])


def test_async_nodes(child: Child) -> None:
    outputs, detail = run(child, ASYNC, picture(1), picture(2))
    assert detail["graph"] == "executor" and reasons(detail) == [("2", "ProbeAsync")]
    if child.ask(engine.runs_async_nodes):
        assert np.array_equal(outputs[0], 1 - picture(1))
        assert np.array_equal(outputs[1], 1 - picture(2))
    else:  # ComfyUI had none of them before 2025-07-10
        assert [failed[:2] for failed in outputs] == [("2", "ProbeAsync")] * 2


def test_v3_nodes(started: Started) -> None:
    if not started.v3:
        pytest.skip("this generation has no V3 nodes")
    workflow = graph(n2=("ProbeGainV3", {"image": FRAME, "gain": 0.5}))
    outputs, detail = run(started.child, workflow, picture(1), picture(2))
    for seed, out in zip((1, 2), outputs, strict=True):
        assert np.array_equal(out, picture(seed) * np.float32(0.5))
    assert (detail["graph"], detail["checked"]) == ("resident", True)
    wrong = graph(n2=("ProbeGainV3", {"image": FRAME, "gain": 2.0}))
    ((kind, node_id, name, _),) = started.child.ask(engine.check, wrong)
    assert (kind, node_id, name) == ("value_bigger_than_max", "2", "gain")


def test_the_first_frame_decides(child: Child) -> None:
    """A node whose result depends on how often it was called: the executor's is what leaves."""
    workflow = graph(n2=("ProbeOnce", {"image": FRAME}))
    outputs, detail = run(child, workflow, picture(1), picture(1), picture(1))
    assert detail["graph"] == "executor"
    assert reasons(detail) == [("9", "SaveTensor")] and "differs" in detail["reasons"][0]["why"]
    assert outputs[0].max() < outputs[1].max() < outputs[2].max()


def test_a_node_that_fails_at_one_frame(child: Child) -> None:
    quiet, loud = picture(1), picture(2)
    loud[0, 0, 0, 0] = 1.0
    resident = graph(n2=("ProbeFail", {"image": FRAME, "at": 1.0}))
    outputs, detail = run(child, resident, quiet, quiet, loud, quiet)
    assert detail["graph"] == "resident"
    node_id, node_type, message = outputs[2]
    assert (node_id, node_type) == ("2", "ProbeFail")
    assert "ValueError" in message and "this picture begins with 1.0" in message
    assert all(np.array_equal(outputs[i], quiet) for i in (0, 1, 3))


def test_a_node_that_fails_at_one_frame_in_the_executor(child: Child) -> None:
    quiet, loud = picture(1), picture(2)
    loud[0, 0, 0, 0] = 1.0
    workflow = graph(
        n3=("ProbeFail", {"image": FRAME, "at": 1.0}),
        n2=("ProbeLazy", {"first": ["3", 0], "second": FRAME, "use_second": False}),
    )
    outputs, detail = run(child, workflow, quiet, loud, quiet, loud)
    assert detail["graph"] == "executor"
    for failed in (outputs[1], outputs[3]):
        assert failed[:2] == ("3", "ProbeFail")
        assert "ValueError" in failed[2] and "this picture begins with 1.0" in failed[2]
    assert np.array_equal(outputs[0], quiet) and np.array_equal(outputs[2], quiet)


def test_a_change_of_workflow_keeps_what_was_loaded(child: Child) -> None:
    def applied(gain: float, *, inverted: bool) -> Graph:
        made = graph(
            n5=("ProbeModel", {"gain": gain}),
            n2=("ProbeApply", {"image": FRAME, "model": ["5", 0]}),
        )
        if inverted:
            made["6"] = {"class_type": "ImageInvert", "inputs": {"image": FRAME}}
            made["2"]["inputs"]["image"] = ["6", 0]
        return made

    def by_executor(gain: float) -> Graph:
        made = applied(gain, inverted=False)
        made["7"] = {"class_type": "ProbeRows", "inputs": {"image": ["2", 0]}}
        made["8"] = {"class_type": "ProbeJoin", "inputs": {"image": ["7", 0]}}
        made["9"]["inputs"]["images"] = ["8", 0]
        return made

    loads = len(child.ask(engine.models_loaded))
    child.ask(engine.load, "first", applied(0.5, inverted=False))
    half_bright = picture(1) * np.float32(0.5)
    assert np.array_equal(child.ask(engine.frame, "first", picture(1)), half_bright)
    child.ask(engine.load, "second", applied(0.5, inverted=True))
    child.ask(engine.close, "first")
    out = child.ask(engine.frame, "second", picture(1))
    assert np.array_equal(out, (1 - picture(1)) * np.float32(0.5))
    child.ask(engine.load, "third", by_executor(0.5))
    child.ask(engine.close, "second")
    for _ in range(2):
        assert np.array_equal(child.ask(engine.frame, "third", picture(1)), swapped(half_bright))
    assert child.ask(engine.models_loaded)[loads:] == [0.5]
    child.ask(engine.load, "other", applied(0.25, inverted=False))
    assert child.ask(engine.models_loaded)[loads:] == [0.5, 0.25]
    for name in ("third", "other"):
        child.ask(engine.close, name)
    child.ask(engine.load, "again", applied(0.5, inverted=False))  # nobody used it any more
    assert child.ask(engine.models_loaded)[loads:] == [0.5, 0.25, 0.5]
    child.ask(engine.close, "again")


@pytest.mark.parametrize("workflow", [INVERT, HALVES], ids=["resident", "executor"])
def test_nothing_holds_a_frame_that_has_been_run(child: Child, workflow: Graph) -> None:
    child.ask(engine.load, "one", workflow)
    for seed in range(3):
        assert child.ask(engine.held_after_a_frame, "one", picture(seed)) == [], seed
    child.ask(engine.close, "one")
