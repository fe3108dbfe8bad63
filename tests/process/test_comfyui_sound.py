"""How the comfyui engine runs sound, on workspaces that the tests write, and on a copy of the
ComfyUI that COMFYUI_WORKSPACE names. Frames: test_comfyui_frames.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support import comfyui_engine_child as engine
from tests.support import comfyui_sound_child as sound
from tests.support.comfyui_lab import Child, Lab
from tests.support.comfyui_sound_child import Graph, Samples
from tests.support.workspace import add_packs, copy_real_workspace, pack_source, write_workspace

SOUND = ["5", 0]


@pytest.fixture(scope="module", params=["2024-08", "2025-07-10", "2025-10-31", "real"])
def child(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Child]:
    folder = tmp_path_factory.mktemp("sound") / "ComfyUI"
    if request.param == "real":
        copy_real_workspace(folder)
    else:
        write_workspace(folder, request.param)
    add_packs(folder, [("sound", pack_source("sound")), ("probe", pack_source("probe"))])
    with lab.open() as opened:
        opened.ask(engine.boot, str(folder))
        yield opened


def graph(**nodes: tuple[str, dict[str, Any]]) -> Graph:
    """Node 5 is LoadAudioTensor; ``n6=(class type, inputs)``."""
    made = {"5": ("LoadAudioTensor", {"buffer_size": 20.0})}
    made |= {name[1:]: node for name, node in nodes.items()}
    return {i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in made.items()}


def saved(node: str) -> tuple[str, dict[str, Any]]:
    return "SaveAudioTensor", {"audio": [node, 0]}


def piece(seed: int) -> Samples:
    return np.random.default_rng(seed).random((1, 2, 960), dtype=np.float32) * np.float32(0.9)


@contextlib.contextmanager
def loaded(child: Child, workflow: Graph) -> Iterator[dict[str, Any]]:
    said = child.ask(sound.load, workflow)
    try:
        yield said
    finally:
        child.ask(sound.close)


GAIN = graph(n6=("ProbeGain", {"audio": SOUND, "gain": 0.5}), n7=saved("6"))


def test_resident_after_the_first_piece_was_compared(child: Child) -> None:
    with loaded(child, GAIN) as said:
        assert said["parts"] == [False, True]
        assert (said["piece_s"], said["makes_sound"]) == (0.02, True)
        assert said["sound"]["checked"] is False
        for seed in (1, 2, 3):
            out, taken = child.ask(sound.hear, piece(seed))
            assert np.array_equal(out, piece(seed) * np.float32(0.5)) and taken == {}
            detail = child.ask(sound.detail)["sound"]
            assert (detail["graph"], detail["checked"]) == ("resident", True)
            assert detail["reasons"] == []


def test_a_node_keeps_what_it_heard_also_before_it_was_compared(child: Child) -> None:
    with loaded(child, graph(n6=("ProbeBefore", {"audio": SOUND}), n7=saved("6"))):
        outputs = [child.ask(sound.hear, piece(seed))[0] for seed in (1, 2, 3)]
        assert not outputs[0].any()
        assert np.array_equal(outputs[1], piece(1)) and np.array_equal(outputs[2], piece(2))
        assert child.ask(sound.detail)["sound"]["graph"] == "resident"


def test_by_comfyuis_executor(child: Child) -> None:
    turned = graph(
        n4=("ProbeBefore", {"audio": SOUND}),
        n6=("ProbeChannels", {"audio": ["4", 0]}),
        n7=("ProbeTogether", {"audio": ["6", 0]}),
        n8=saved("7"),
    )
    with loaded(child, turned):
        outputs = [child.ask(sound.hear, piece(seed))[0] for seed in (1, 2, 3)]
        assert not outputs[0].any()
        for seed in (1, 2):
            assert np.array_equal(outputs[seed], piece(seed)[:, ::-1])
        detail = child.ask(sound.detail)["sound"]
        assert detail["graph"] == "executor"
        assert {reason["node_id"] for reason in detail["reasons"]} == {"6", "7"}


def test_the_first_piece_decides(child: Child) -> None:
    with loaded(child, graph(n6=("ProbeCount", {"audio": SOUND}), n7=saved("6"))):
        levels = [child.ask(sound.hear, piece(1))[0].max() for _ in range(3)]
        assert levels[0] < levels[1] < levels[2]
        detail = child.ask(sound.detail)["sound"]
    (reason,) = detail["reasons"]
    assert (detail["graph"], reason["node_id"], reason["node_type"]) == (
        "executor",
        "7",
        "SaveAudioTensor",
    )
    assert "first piece of sound differs" in reason["why"]


@pytest.mark.parametrize("counted", [False, True], ids=["alike", "different"])
def test_texts_of_a_sound_part(child: Child, counted: bool) -> None:
    """They are the result where no sound comes out."""
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "n6": ("ProbeLoudest", {"audio": ["4", 0] if counted else SOUND}),
        "n7": ("SaveTextTensor", {"data": ["6", 1]}),
    }
    if counted:
        nodes["n4"] = ("ProbeCount", {"audio": SOUND})
    with loaded(child, graph(**nodes)) as said:
        assert said["makes_sound"] is False
        for level in (0.25, 0.75):
            out, taken = child.ask(sound.hear, np.full((1, 1, 960), level, np.float32))
            assert out is None and list(taken) == ["7"]
            if not counted:
                assert taken["7"]["data"] == f"{level:.2f}"
        detail = child.ask(sound.detail)["sound"]
        assert detail["graph"] == ("executor" if counted else "resident")


def test_a_piece_on_which_a_node_fails(child: Child) -> None:
    loud = np.ones((1, 1, 960), np.float32)
    lists = graph(
        n4=("ProbeGain", {"audio": SOUND, "gain": 0.5}),
        n6=("ProbeChannels", {"audio": ["4", 0]}),
        n7=("ProbeTogether", {"audio": ["6", 0]}),
        n8=saved("7"),
    )
    for workflow, way, node in ((GAIN, "resident", "6"), (lists, "executor", "4")):
        with loaded(child, workflow):
            first, failed, again = (
                child.ask(sound.hear, each)[0] for each in (piece(1), loud, piece(2))
            )
            assert child.ask(sound.detail)["sound"]["graph"] == way
        assert first.shape == (1, 2, 960)
        assert failed[:2] == (node, "ProbeGain") and "this piece is too loud" in failed[2]
        assert again.shape == (1, 2, 960)


@pytest.mark.parametrize("way", ["resident", "executor"])
def test_an_interrupt_ends_the_piece_that_runs(child: Child, way: str) -> None:
    middle = ("ProbeGain", {"audio": ["6", 0], "gain": 0.5})
    nodes = {"n6": ("ProbeStop", {"audio": SOUND}), "n7": middle}
    if way == "executor":
        nodes["n7"] = ("ProbeChannels", {"audio": ["6", 0]})
        nodes["n9"] = ("ProbeTogether", {"audio": ["7", 0]})
    stopped = piece(1)
    stopped[0, 0, 0] = 0.5
    with loaded(child, graph(**nodes, n8=saved("9" if way == "executor" else "7"))):
        first, ended, again = (
            child.ask(sound.hear, each)[0] for each in (piece(1), stopped, piece(2))
        )
        assert child.ask(sound.detail)["sound"]["graph"] == way
    assert ended[0] == "7" and ended[2] == "interrupted"
    assert first.shape == again.shape == (1, 2, 960)


def test_what_is_no_sound_and_what_comfystream_takes_for_it(child: Child) -> None:
    with loaded(child, graph(n6=("ProbeOld", {"audio": SOUND}), n7=saved("6"))):
        for _ in range(2):
            out, _ = child.ask(sound.hear, piece(1))
            np.testing.assert_allclose(out, piece(1), rtol=0, atol=1 / 32768)
        many = np.zeros((1, 9, 960), np.float32)
        failed, _ = child.ask(sound.hear, many)
        assert failed[:2] == ("7", "SaveAudioTensor") and "1 to 8 channels" in failed[2]


FOLLOWS = graph(
    n1=("LoadTensor", {}),
    n6=("ProbeLoudest", {"audio": SOUND}),
    n2=("ProbeDim", {"image": ["1", 0], "by": ["6", 0]}),
    n9=("SaveTensor", {"images": ["2", 0]}),
    n7=("ProbeGain", {"audio": SOUND, "gain": 0.5}),
    n8=saved("7"),
)


@pytest.mark.parametrize("way", ["resident", "executor"])
def test_the_picture_follows_the_latest_piece(child: Child, way: str) -> None:
    workflow = dict(FOLLOWS)
    if way == "executor":
        workflow["3"] = {"class_type": "ProbeRows", "inputs": {"image": ["1", 0]}}
        workflow["4"] = {"class_type": "ProbeJoin", "inputs": {"image": ["3", 0]}}
        inputs = {"image": ["4", 0], "by": ["6", 0]}
        workflow["2"] = {"class_type": "ProbeDim", "inputs": inputs}
    image = np.random.default_rng(3).random((1, 6, 8, 3), dtype=np.float32)
    seen = np.concatenate((image[:, 3:], image[:, :3]), axis=1) if way == "executor" else image
    with loaded(child, workflow) as said:
        assert said["parts"] == [True, True]
        assert not child.ask(sound.see, image, None).any()  # silence
        for level in (0.25, 0.5):
            half = np.full((1, 2, 960), level, np.float32)
            out = child.ask(sound.see, image, half)
            assert np.array_equal(out, seen * np.float32(level))
            heard, _ = child.ask(sound.hear, half)
            assert np.array_equal(heard, half * np.float32(0.5))
        detail = child.ask(sound.detail)
        assert (detail["graph"], detail["sound"]["graph"]) == (way, "resident")


def test_errors_of_both_parts_are_told_at_once(child: Child) -> None:
    wrong = {**FOLLOWS, "2": {"class_type": "ProbeDim", "inputs": {"by": ["6", 0]}}}
    inputs = {"audio": SOUND, "gain": "much"}
    wrong["7"] = {"class_type": "ProbeGain", "inputs": inputs}
    found = child.ask(sound.refused, wrong)
    assert found == [("required_input_missing", "2"), ("invalid_input_type", "7")]
