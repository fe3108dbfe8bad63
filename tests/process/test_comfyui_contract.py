"""What the comfyui engine promises, on each generation of ComfyUI's interface.

On workspaces that the tests write, and on a copy of the ComfyUI that COMFYUI_WORKSPACE names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from comfytrickle import node_pack
from tests.support import comfyui_engine_child as engine
from tests.support.comfyui_lab import Child, ChildError, Lab, open_lab
from tests.support.workspace import (
    BROKEN_PACK,
    EMPTY_PACK,
    GENERATIONS,
    add_packs,
    copy_real_workspace,
    pack_source,
    write_workspace,
)

Graph = dict[str, Any]
Picture = engine.Picture
FRAME = ["1", 0]

# Asks the server for a route while it is imported, as many packs do.
SERVED_PACK = """
from server import PromptServer

@PromptServer.instance.routes.get("/probe")
async def probe(request):
    raise NotImplementedError

NODE_CLASS_MAPPINGS = {"Served": type("Served", (), {
    "RETURN_TYPES": ("IMAGE",), "FUNCTION": "run", "CATEGORY": "probe",
    "INPUT_TYPES": classmethod(lambda cls: {"required": {"image": ("IMAGE",)}}),
    "run": lambda self, image: (image,),
})}
"""
PRESTARTUP = 'import os\nos.environ["PROBE_PRESTARTUP"] = "ran"\n'


@dataclass(frozen=True)
class Started:
    folder: Path
    child: Child
    said: dict[str, Any]
    v3: bool


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with open_lab() as opened:
        yield opened


@pytest.fixture(scope="module", params=[*GENERATIONS, "real"])
def started(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    """One process for each workspace, with packs good and bad."""
    folder = tmp_path_factory.mktemp("contract") / "ComfyUI"
    if request.param == "real":
        copy_real_workspace(folder)
    else:
        write_workspace(folder, request.param)
    v3 = (folder / "comfy_api" / "latest").exists()
    packs = [("probe", pack_source("probe")), ("broken", BROKEN_PACK), ("empty", EMPTY_PACK)]
    packs += [("served", SERVED_PACK), ("probe_v3", pack_source("probe_v3"))][: 2 if v3 else 1]
    add_packs(folder, packs)
    (folder / "custom_nodes" / "served" / "prestartup_script.py").write_text(PRESTARTUP)
    node_pack.install(folder)
    elsewhere = {"mine": {"base_path": str(folder.parent), "custom_nodes": "elsewhere"}}
    (folder / "extra_model_paths.yaml").write_text(json.dumps(elsewhere))
    (folder.parent / "elsewhere").mkdir()
    other = SERVED_PACK.replace("Served", "FromElsewhere").replace("/probe", "/other")
    (folder.parent / "elsewhere" / "found.py").write_text(other)
    with lab.open() as child:
        yield Started(folder, child, child.ask(engine.boot, str(folder)), v3)


@pytest.fixture
def child(started: Started) -> Child:
    return started.child


def graph(**nodes: tuple[str, dict[str, Any]]) -> Graph:
    """``n2=("ImageInvert", {...})``; node 1 is LoadTensor, 9 is SaveTensor of node 2."""
    made = {name[1:]: node for name, node in nodes.items()}
    made = {"1": ("LoadTensor", {}), "9": ("SaveTensor", {"images": ["2", 0]}), **made}
    return {i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in made.items()}


INVERT = graph(n2=("ImageInvert", {"image": FRAME}))


def picture(seed: int) -> Picture:
    return np.random.default_rng(seed).random((1, 6, 8, 3), dtype=np.float32)


def run(child: Child, workflow: Graph, *pictures: Picture) -> tuple[list[Any], dict[str, Any]]:
    """``(what came out for each, the detail afterwards)``."""
    child.ask(engine.load, "one", workflow)
    try:
        outputs = [child.ask(engine.frame, "one", each) for each in pictures]
        return outputs, child.ask(engine.detail, "one")
    finally:
        child.ask(engine.close, "one")


def reasons(detail: dict[str, Any]) -> list[tuple[str, str]]:
    return [(reason["node_id"], reason["node_type"]) for reason in detail["reasons"]]


def test_it_boots_and_lists_the_nodes(started: Started) -> None:
    assert started.said["device"] == "cpu"
    info = started.child.ask(engine.catalogue)
    assert {"ImageInvert", "ImageScale", "SolidMask", "ProbeLazy", "LoadTensor"} <= info.keys()
    assert ("ProbeGainV3" in info) == started.v3
    width = info["ImageScale"]["input"]["required"]["width"]
    assert width[0] == "INT" and width[1]["max"] == 16384
    assert info["SolidMask"]["output"] == ["MASK"]
    assert info["ProbeRows"]["output_is_list"] == [True]


def test_packs_that_failed_say_why(started: Started) -> None:
    failed = started.child.ask(engine.failed_packs)
    said = {Path(path).name: reason for path, reason in failed.items()}
    assert "No module named 'a_package_that_is_nowhere'" in said["broken"]
    assert "NODE_CLASS_MAPPINGS" in said["empty"]
    assert not {"probe", "probe_v3", "served", "found.py"} & said.keys()


def test_what_main_does_before_it_serves_was_done(child: Child) -> None:
    """Prestartup scripts, the server's routes, extra_model_paths.yaml."""
    assert child.ask(engine.variable, "PROBE_PRESTARTUP") == "ran"
    assert {"Served", "FromElsewhere"} <= child.ask(engine.catalogue).keys()


def test_the_streams_nodes_are_ours_whatever_pack_has_them_too(child: Child) -> None:
    assert child.ask(engine.origin, "LoadTensor") == "workers.nodes.io"
    drawn = graph(n2=("ImageInvert", {"image": FRAME}))
    drawn["1"]["inputs"] = {"image": "nowhere.png", "upload": "image"}
    assert child.ask(engine.check, drawn) == []
    (out,), _ = run(child, drawn, picture(1))
    assert np.array_equal(out, 1 - picture(1))


def test_a_node_that_does_not_exist(child: Child) -> None:
    wrong = graph(n2=("ImageInverse", {"image": FRAME}))
    ((kind, node_id, _, message),) = child.ask(engine.check, wrong)
    assert (kind, node_id) == ("missing_node_type", "2")
    assert "'ImageInverse'" in message and "ImageInvert" in message


def test_comfyuis_own_errors_are_passed_on(child: Child) -> None:
    scale = {"image": FRAME, "upscale_method": "no", "width": 99_999, "height": 8}
    found = child.ask(engine.check, graph(n2=("ImageScale", {**scale, "crop": "disabled"})))
    assert [(kind, name) for kind, _, name, _ in found] == [
        ("value_not_in_list", "upscale_method"),
        ("value_bigger_than_max", "width"),
    ]
    assert all(node_id == "2" for _, node_id, _, _ in found)
    ((kind, node_id, name, message),) = child.ask(engine.check, graph(n2=("ImageInvert", {})))
    assert (kind, node_id, name) == ("required_input_missing", "2", "image")
    odd = graph(n2=("ProbeChecked", {"image": FRAME, "even": 3}))
    ((kind, _, _, message),) = child.ask(engine.check, odd)
    assert kind == "custom_validation_failed" and "3 is odd" in message
    mask = graph(
        n3=("SolidMask", {"value": 1.0, "width": 8, "height": 8}),
        n2=("ImageInvert", {"image": ["3", 0]}),
    )
    ((kind, node_id, name, _),) = child.ask(engine.check, mask)
    assert (kind, node_id, name) == ("return_type_mismatch", "2", "image")


def test_a_bad_branch_beside_a_good_one_is_an_error_too(child: Child) -> None:
    """ComfyUI itself would run the good one."""
    both = graph(
        n2=("ImageInvert", {"image": FRAME}),
        n4=("SaveTextTensor", {}),
    )
    found = [error[:3] for error in child.ask(engine.check, both)]
    assert found == [("required_input_missing", "4", "data")]


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


def test_the_version_is_told(started: Started) -> None:
    _, detail = run(started.child, INVERT, picture(1))
    file = started.folder / "comfyui_version.py"
    if file.exists():
        assert detail["comfyui_version"] in file.read_text()
        assert started.said["version"] == detail["comfyui_version"]
    else:
        assert started.said["version"] is None


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


def swapped(image: Picture) -> Picture:
    return np.concatenate((image[:, 3:], image[:, :3]), axis=1)


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


def test_one_workspace_for_a_process(started: Started) -> None:
    with pytest.raises(ChildError, match=r"WorkerError: .*in this process already"):
        started.child.ask(engine.boot, str(started.folder))


def test_a_folder_that_is_no_comfyui(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "nodes.py").write_text("")
    with lab.open() as child:
        with pytest.raises(ChildError, match=r"WorkerError: .*no ComfyUI.* folder_paths\.py"):
            child.ask(engine.boot, str(tmp_path))
        with pytest.raises(ChildError, match=r"WorkerError: .*no such folder"):
            child.ask(engine.boot, str(tmp_path / "nowhere"))


def test_two_workspaces_in_two_processes(lab: Lab, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("2024-08", "2025-10-31")}
    for name, folder in folders.items():
        write_workspace(folder, name, [("probe", pack_source("probe"))])
    with lab.open() as old, lab.open() as new:
        assert old.ask(engine.boot, str(folders["2024-08"]))["version"] is None
        assert new.ask(engine.boot, str(folders["2025-10-31"]))["version"] == "0.3.68"
        for child in (old, new):
            (out,), _ = run(child, INVERT, picture(4))
            assert np.array_equal(out, 1 - picture(4))


def test_node_packs_from_another_place(lab: Lab, tmp_path: Path) -> None:
    """The control plane's --nodes, beside the workspace's own custom_nodes."""
    folder = write_workspace(tmp_path / "ComfyUI", "2025-07-30")
    (tmp_path / "mine.py").write_text(pack_source("probe"))
    (tmp_path / "bad.py").write_text(BROKEN_PACK)
    with lab.open() as child:
        child.ask(engine.boot, str(folder), str(tmp_path / "mine.py"), str(tmp_path / "bad.py"))
        outputs, _ = run(child, LAZY, half(1))
        assert np.array_equal(outputs[0], half(1))
        failed = child.ask(engine.failed_packs)
        assert "a_package_that_is_nowhere" in failed[str(tmp_path / "bad.py")]
