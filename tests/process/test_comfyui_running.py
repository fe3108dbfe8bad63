"""The comfyui engine at work: two workflows at once, what is blocked, what is run once, interrupts.

In the workspace that the tests write, in its oldest and its newest generation, and in a copy of the
one that COMFYUI_WORKSPACE names. The contract of every generation: test_comfyui_contract.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from comfytrickle.workflow import parse_prompt
from tests.support import comfyui_engine_child as engine
from tests.support.comfyui_lab import Child, ChildError, Lab, State
from tests.support.workspace import add_packs, copy_real_workspace, pack_source, write_workspace
from workers.engine.protocol import RunContext

Graph = dict[str, Any]
FRAME = ["1", 0]
FRAMES = 40  # of each of two workflows at once
EXITING_PACK = "import sys\nsys.exit('this pack wants to be alone')\n"


@pytest.fixture(scope="module", params=["2024-08", "2025-10-31", "real"])
def child(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Child]:
    folder = tmp_path_factory.mktemp("running") / "ComfyUI"
    if request.param == "real":
        copy_real_workspace(folder)
    else:
        write_workspace(folder, request.param)
    add_packs(
        folder,
        [
            ("running", pack_source("running")),
            ("probe", pack_source("probe")),
            ("exiting", EXITING_PACK),
        ],
    )
    with lab.open() as opened:
        opened.ask(engine.boot, str(folder))
        yield opened


def graph(**nodes: tuple[str, dict[str, Any]]) -> Graph:
    """``n2=("ImageInvert", {...})``; node 1 is LoadTensor, 9 is SaveTensor of node 2."""
    made = {name[1:]: node for name, node in nodes.items()}
    made = {"1": ("LoadTensor", {}), "9": ("SaveTensor", {"images": ["2", 0]}), **made}
    return {i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in made.items()}


def picture(first: float = 0.25) -> np.ndarray[Any, Any]:
    image = np.random.default_rng(5).random((1, 6, 8, 3), dtype=np.float32)
    image[0, 0, 0, 0] = first
    return image


SUM = graph(
    n3=("RunningPieces", {"level": 0.5}),
    n2=("RunningSum", {"image": FRAME, "pieces": ["3", 0]}),
)


def calls(state: State, class_type: str) -> int:
    import nodes

    return len(nodes.NODE_CLASS_MAPPINGS[class_type].CALLS)


def test_a_pack_that_exits_has_failed_and_nothing_else(child: Child) -> None:
    failed = {Path(path).name: why for path, why in child.ask(engine.failed_packs).items()}
    assert failed["exiting"] == "SystemExit: this pack wants to be alone"


def test_a_constant_part_that_only_the_executor_can_do_runs_once(child: Child) -> None:
    before = child.ask(calls, "RunningPieces")
    detail = child.ask(engine.load, "sum", SUM)
    assert (detail["graph"], detail["constant_nodes"], detail["live_nodes"]) == ("executor", 1, 3)
    assert child.ask(calls, "RunningPieces") == before + 1
    for first in (0.0, 0.5, 0.75):
        out = child.ask(engine.frame, "sum", picture(first))
        np.testing.assert_allclose(out, picture(first) + 0.75, rtol=1e-6)
    assert child.ask(calls, "RunningPieces") == before + 1
    child.ask(engine.close, "sum")


def test_a_constant_behind_a_lazy_input_runs_when_it_is_asked_for_and_once(child: Child) -> None:
    def either(*, wanted: bool) -> Graph:
        return graph(
            n3=("RunningInstead", {"block": False}),
            n2=("RunningEither", {"image": FRAME, "other": ["3", 0], "wanted": wanted}),
        )

    before = child.ask(calls, "RunningInstead")
    child.ask(engine.load, "not wanted", either(wanted=False))
    assert np.array_equal(child.ask(engine.frame, "not wanted", picture()), picture())
    assert child.ask(calls, "RunningInstead") == before
    child.ask(engine.close, "not wanted")
    child.ask(engine.load, "wanted", either(wanted=True))
    assert child.ask(calls, "RunningInstead") == before
    for _ in range(3):
        out = child.ask(engine.frame, "wanted", picture())
        assert np.array_equal(out, np.full((1, 6, 8, 3), 0.5, np.float32))
    assert child.ask(calls, "RunningInstead") == before + 1
    child.ask(engine.close, "wanted")


def test_a_node_that_blocks_later_hands_over_to_the_executor(child: Child) -> None:
    blocking = graph(n2=("RunningBlock", {"image": FRAME}))
    child.ask(engine.load, "block", blocking)
    for _ in range(2):
        assert np.array_equal(child.ask(engine.frame, "block", picture()), picture())
    detail = child.ask(engine.detail, "block")
    assert (detail["graph"], detail["checked"]) == ("resident", True)
    node_id, node_type, message = child.ask(engine.frame, "block", picture(1.0))
    assert (node_id, node_type) == ("9", "SaveTensor") and "blocked" in message
    detail = child.ask(engine.detail, "block")
    assert detail["graph"] == "executor"
    (reason,) = detail["reasons"]
    assert (reason["node_id"], reason["node_type"]) == ("2", "RunningBlock")
    assert "ExecutionBlocker" in reason["why"]
    assert np.array_equal(child.ask(engine.frame, "block", picture()), picture())
    child.ask(engine.close, "block")


def test_a_constant_node_that_blocks(child: Child) -> None:
    blocked = graph(
        n3=("RunningInstead", {"block": True}),
        n2=("RunningEither", {"image": FRAME, "other": FRAME, "wanted": False}),
        n4=("SaveTextTensor", {"data": ["5", 0]}),
        n5=("RunningText", {"image": ["3", 0]}),
    )
    detail = child.ask(engine.load, "blocked", blocked, "unforeseen")
    assert detail["graph"] == "executor"
    for _ in range(2):
        assert np.array_equal(child.ask(engine.frame, "blocked", picture()), picture())
        assert child.ask(taken, "blocked", picture()) == {}
    child.ask(engine.close, "blocked")


def taken(state: State, name: str, image: np.ndarray[Any, Any]) -> dict[str, Any]:
    context = RunContext()
    state[name].run(torch.from_numpy(image), context)
    return context.taken


@pytest.mark.parametrize("way", ["resident", "executor"])
def test_text_leaves_beside_the_picture(child: Child, way: str) -> None:
    nodes: dict[str, Any] = {
        "n2": ("ImageInvert", {"image": FRAME}),
        "n3": ("RunningText", {"image": FRAME}),
        "n4": ("SaveTextTensor", {"data": ["3", 0], "remove_linebreaks": False}),
    }
    if way == "executor":
        nodes["n2"] = ("RunningEither", {"image": FRAME, "other": FRAME, "wanted": True})
    child.ask(engine.load, "text", graph(**nodes))
    for first in (0.25, 0.5):  # the first is the one that both do
        told = child.ask(taken, "text", picture(first))
        assert told == {"4": {"data": f"it begins\nwith {first:g}", "remove_linebreaks": False}}
    assert child.ask(engine.detail, "text")["graph"] == way
    child.ask(engine.close, "text")


def run_beside(state: State, name: str, frames: int) -> dict[str, Any]:
    """Frames through ``name`` in a thread of its own, while this one loads SUM again and again and
    runs it. What each frame came to is looked at in its thread."""
    wrong: list[Any] = []
    done = threading.Event()

    def old() -> None:
        try:
            for n in range(frames):
                image = torch.full((1, 6, 8, 3), n / frames)
                out = state[name].run(image)
                if not torch.equal(out, torch.full_like(image, n / frames)):
                    wrong.append(("old", n))
        except Exception as error:  # noqa: BLE001 - shown by the test
            wrong.append(repr(error))
        finally:
            done.set()

    thread = threading.Thread(target=old)
    thread.start()
    loads = 0
    while not done.is_set() or loads < 3:
        loaded = state["engine"].load(parse_prompt(SUM))
        for n in range(3):
            image = torch.full((1, 6, 8, 3), float(n))
            if not torch.equal(loaded.run(image), image + 0.5 + 0.25):
                wrong.append(("new", n))
        loaded.close()
        loads += 1
    thread.join()
    return {"wrong": wrong, "loads": loads}


def test_two_workflows_at_once_keep_to_their_own_frames(child: Child) -> None:
    """The old one runs on while the new one is loaded, in another thread."""
    halves = graph(n3=("ProbeRows", {"image": FRAME}), n2=("ProbeJoin", {"image": ["3", 0]}))
    child.ask(engine.load, "old", halves)
    said = child.ask(run_beside, "old", FRAMES)
    assert said["wrong"] == [] and said["loads"] >= 3
    child.ask(engine.close, "old")


def interrupted(state: State, name: str) -> Any:
    """Interrupt a frame from another thread, at a node in the middle of it."""
    import nodes

    waiting = nodes.NODE_CLASS_MAPPINGS["RunningWait"]
    waiting.RUNS.clear()
    waiting.MAY_GO_ON.clear()

    def interrupt() -> None:
        assert waiting.RUNS.wait(60)
        state["engine"].interrupt()
        waiting.MAY_GO_ON.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcome = engine.frame(state, name, picture())
    thread.join()
    waiting.MAY_GO_ON.set()
    return outcome


def test_an_interrupt_ends_the_run_at_the_next_node(child: Child) -> None:
    workflow = graph(
        n3=("RunningWait", {"image": FRAME}),
        n2=("RunningEither", {"image": ["3", 0], "other": FRAME, "wanted": False}),
    )
    child.ask(engine.load, "wait", workflow)
    node_id, _, message = child.ask(interrupted, "wait")
    assert (node_id, message) == ("2", "interrupted")
    assert np.array_equal(child.ask(engine.frame, "wait", picture()), picture())
    child.ask(engine.close, "wait")


def test_a_node_that_exits_in_the_executor(child: Child) -> None:
    workflow = graph(
        n3=("RunningExit", {"image": FRAME}),
        n2=("RunningEither", {"image": ["3", 0], "other": FRAME, "wanted": False}),
    )
    child.ask(engine.load, "exit", workflow)
    _, _, message = child.ask(engine.frame, "exit", picture())
    assert message == "SystemExit: enough"
    child.ask(engine.close, "exit")
    assert np.array_equal(child.ask(inverted), 1 - picture())  # the engine goes on


def inverted(state: State) -> Any:
    loaded = state["engine"].load(parse_prompt(graph(n2=("ImageInvert", {"image": FRAME}))))
    try:
        return loaded.run(torch.from_numpy(picture())).numpy()
    finally:
        loaded.close()


def left_behind(state: State) -> list[str]:
    import nodes

    return [name for name in nodes.NODE_CLASS_MAPPINGS if ":" in name]


def closed(state: State) -> None:
    state["engine"].close()
    state["engine"].close()


def test_last_of_all_it_is_closed(child: Child) -> None:
    assert child.ask(left_behind) == []
    child.ask(closed)


def test_a_workspace_that_lacks_a_package(lab: Lab, tmp_path: Path) -> None:
    folder = write_workspace(tmp_path / "ComfyUI", "2025-10-31")
    (folder / "server.py").write_text("import a_package_that_is_nowhere\n")
    with lab.open() as child, pytest.raises(ChildError) as caught:
        child.ask(engine.boot, str(folder))
    said = str(caught.value)
    assert "module server (it needs 'a_package_that_is_nowhere')" in said
    assert f"pip install -r {folder}/requirements.txt" in said
