"""Node classes from files, and the catalogue of all nodes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from comfytrickle.messages import EngineConfig
from comfytrickle.workflow import parse_prompt
from workers.engine.catalogue import object_info, to_plain
from workers.engine.embedded import EmbeddedEngine
from workers.engine.packs import load_packs
from workers.engine.registry import Registry, build_registry

NODE = """
class {name}:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"
    CATEGORY = "mine"
    @classmethod
    def INPUT_TYPES(cls):
        return {{"required": {{"image": ("IMAGE",), "k": ("FLOAT", {{"max": float("inf")}})}}}}
    def execute(self, image, k):
        return ({expression},)
NODE_CLASS_MAPPINGS = {{"{name}": {name}}}
"""


def write_pack(path: Path, name: str, expression: str = "image * k") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NODE.format(name=name, expression=expression))
    return path


def embedded() -> dict[str, Any]:
    return build_registry([]).classes


def test_the_embedded_pack_has_the_ways_in_and_out() -> None:
    assert {"LoadTensor", "SaveTensor", "SaveTextTensor", "ImageInvert"} <= embedded().keys()


def test_a_file_a_package_and_a_folder_of_both(tmp_path: Path) -> None:
    single = write_pack(tmp_path / "one" / "single-node.py", "Single")
    package = tmp_path / "two" / "pack"
    write_pack(package / "impl.py", "Packed")
    (package / "__init__.py").write_text(
        "from .impl import NODE_CLASS_MAPPINGS\nNODE_DISPLAY_NAME_MAPPINGS={'Packed': 'Nice'}\n"
    )
    folder = tmp_path / "three"
    write_pack(folder / "a.py", "A")
    write_pack(folder / "b" / "__init__.py", "B")
    write_pack(folder / "off.disabled" / "__init__.py", "Off")
    write_pack(folder / "_private.py", "Private")
    (folder / "readme.txt").write_text("x")
    registry = build_registry([str(single), str(package), str(folder)])
    assert registry.failed == {}
    assert registry.classes.keys() - embedded().keys() == {"Single", "Packed", "A", "B"}
    assert registry.display_names["Packed"] == "Nice"
    assert registry.display_names["A"] == "A"
    assert registry.modules["A"] == str(folder / "a.py")


def test_packs_hide_no_module(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "json.py", "Mine")
    build_registry([str(path)])
    assert json.loads("[1]") == [1]
    assert sys.modules["json"] is json
    assert str(tmp_path) not in sys.path


def test_two_packs_of_one_name_are_two(tmp_path: Path) -> None:
    first = write_pack(tmp_path / "a" / "nodes.py", "One")
    second = write_pack(tmp_path / "b" / "nodes.py", "Two")
    registry = build_registry([str(first), str(second)])
    assert {"One", "Two"} <= registry.classes.keys()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f(:", "SyntaxError"),
        ("import a_module_that_is_nowhere", "ModuleNotFoundError"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("1/0", "ZeroDivisionError"),
        ("x = 1", "no NODE_CLASS_MAPPINGS"),
        ("async def comfy_entrypoint(): ...", "V3"),
    ],
)
def test_a_broken_pack_is_reported_and_stops_nothing(
    tmp_path: Path, source: str, reason: str
) -> None:
    (tmp_path / "bad.py").write_text(source)
    write_pack(tmp_path / "good.py", "Good")
    registry = build_registry([str(tmp_path)])
    assert "Good" in registry.classes
    assert list(registry.failed) == [str(tmp_path / "bad.py")]
    assert reason in registry.failed[str(tmp_path / "bad.py")]
    if not reason.startswith(("no", "V3")):
        assert not [name for name in sys.modules if name.endswith("_bad")]


def test_a_path_with_no_pack(tmp_path: Path) -> None:
    failed = load_packs([str(tmp_path / "nowhere"), str(tmp_path)]).failed
    assert failed[str(tmp_path / "nowhere")] == "no such file or folder"
    assert "no node pack there" in failed[str(tmp_path)]


def test_classes_that_are_no_nodes_are_left_out_by_name() -> None:
    class NoFunction:
        RETURN_TYPES = ()

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {}

    class V3:
        INPUT_TYPES = NoFunction.INPUT_TYPES

        def define_schema(self) -> None: ...

    registry = Registry()
    registry.add("p", {"A": NoFunction, "B": object, "C": "text", "D": V3, 5: NoFunction}, {})
    assert registry.classes == {}
    assert registry.failed == {
        "p: A": "its FUNCTION None is no method",
        "p: B": "has no INPUT_TYPES",
        "p: C": "is not a class",
        "p: D": "is a V3 node, which needs the comfyui engine",
        "p: 5": "has no name",
    }


def test_a_users_node_wins_over_ours_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_pack(tmp_path / "mine.py", "ImageInvert", "image * 0 + k")
    with caplog.at_level("INFO", "workers.engine.registry"):
        engine = EmbeddedEngine(EngineConfig(node_paths=[str(path)]))
    assert "takes the place of the one of embedded" in caplog.text
    graph = {
        "1": {"class_type": "LoadTensor", "inputs": {}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0], "k": 0.75}},
        "3": {"class_type": "SaveTensor", "inputs": {"images": ["2", 0]}},
    }
    out = engine.load(parse_prompt(graph)).run(torch.rand(1, 2, 2, 3))
    assert torch.equal(out, torch.full((1, 2, 2, 3), 0.75))
    assert engine.failed_packs() == {}
    engine.close()


def test_object_info_of_the_embedded_pack() -> None:
    info = EmbeddedEngine(EngineConfig()).object_info()
    json.dumps(info, allow_nan=False)
    msgspec.msgpack.encode(info)
    save = info["SaveTensor"]
    assert save["output_node"] is True
    assert save["input"]["required"]["images"][0] == "IMAGE"
    invert = info["ImageInvert"]
    assert invert["input_order"] == {"required": ["image"]}
    assert invert["output"] == ["IMAGE"]
    assert invert["output_is_list"] == [False]
    assert invert["output_name"] == ["IMAGE"]
    assert invert["name"] == "ImageInvert"
    assert invert["display_name"] == "Invert Image"
    assert invert["python_module"] == "embedded"
    assert invert["output_node"] is False
    assert {"category", "description"} <= invert.keys()


def test_object_info_survives_odd_nodes(tmp_path: Path) -> None:
    write_pack(tmp_path / "odd.py", "Odd")
    (tmp_path / "raises.py").write_text(
        NODE.format(name="Raises", expression="image").replace(
            "return {", "raise OSError; return {"
        )
    )
    info = object_info(build_registry([str(tmp_path)]))
    assert info["Odd"]["input"]["required"]["k"] == ["FLOAT", {"max": None}]
    assert "Raises" not in info
    assert "ImageInvert" in info


def test_to_plain() -> None:
    class Wild(str):
        pass

    value = {1: (Wild("*"), {2}), "n": float("nan"), "big": 2**70, "t": True, "o": Path("x")}
    assert to_plain(value) == {
        "1": ["*", [2]],
        "n": None,
        "big": None,
        "t": True,
        "o": "x",
    }
    assert type(to_plain(Wild("*"))) is str
