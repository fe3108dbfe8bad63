"""What the comfyui engine promises before a frame runs, on each generation of ComfyUI's interface.

On workspaces that the tests write, and on a copy of the ComfyUI that COMFYUI_WORKSPACE names.
Frames: test_comfyui_frames.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import comfyui_engine_child as engine
from tests.support.comfyui_lab import Child, ChildError, Lab
from tests.support.comfyui_started import (
    FRAME,
    INVERT,
    Started,
    graph,
    picture,
    run,
    swapped,
)
from tests.support.workspace import BROKEN_PACK, pack_source, write_workspace


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


def test_the_version_is_told(started: Started) -> None:
    _, detail = run(started.child, INVERT, picture(1))
    file = started.folder / "comfyui_version.py"
    if file.exists():
        assert detail["comfyui_version"] in file.read_text()
        assert started.said["version"] == detail["comfyui_version"]
    else:
        assert started.said["version"] is None


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
        halves = graph(n3=("ProbeRows", {"image": FRAME}), n2=("ProbeJoin", {"image": ["3", 0]}))
        (out,), _ = run(child, halves, picture(1))
        assert np.array_equal(out, swapped(picture(1)))
        failed = child.ask(engine.failed_packs)
        assert "a_package_that_is_nowhere" in failed[str(tmp_path / "bad.py")]


NAMESAKE_PACK = """
from .helper import GAIN
from .queues import GAIN as SAME

class Namesake:
    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "run", "probe"
    INPUT_TYPES = classmethod(lambda cls: {"required": {"image": ("IMAGE",)}})

    def run(self, image):
        return (image * GAIN * SAME,)

NODE_CLASS_MAPPINGS = {"Namesake": Namesake}
"""


@pytest.mark.parametrize("generation", ["2024-08", "2025-10-31"])
def test_a_pack_that_has_the_name_of_our_modules(lab: Lab, tmp_path: Path, generation: str) -> None:
    """In the oldest versions a pack is the module that its folder is named as."""
    packs = [("workers", NAMESAKE_PACK), ("comfytrickle", pack_source("probe"))]
    folder = write_workspace(tmp_path / "ComfyUI", generation, packs)
    for name in ("helper", "queues"):  # the second one is ours as well, not imported yet
        (folder / "custom_nodes" / "workers" / f"{name}.py").write_text("GAIN = 0.5\n")
    with lab.open() as child:
        child.ask(engine.boot, str(folder))
        assert not any("custom_nodes" in path for path in child.ask(engine.failed_packs))
        (out,), _ = run(child, graph(n2=("Namesake", {"image": FRAME})), picture(1))
        assert np.array_equal(out, picture(1) * np.float32(0.25))
        for name in ("comfytrickle", "workers", "workers.stages.queues"):
            assert str(folder) not in child.ask(engine.imported, name)
        with pytest.raises(ChildError, match=r"No module named 'workers\.helper'"):
            child.ask(engine.imported, "workers.helper")
