"""What keeps a workflow from running as a resident graph."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from comfytrickle.workflow import parse_prompt
from tests.support.engine_nodes import CLASSES, Base, Graph, around, n
from tests.support.v3_nodes import ComfyNode, schema
from workers.engine.ways import Reason, why_not_resident


def v1(declared: dict[str, Any] | None = None, **attributes: Any) -> type:
    inputs = declared or {"required": {"image": ("IMAGE",)}}
    return type("Odd", (Base,), {"INPUTS": inputs, "execute": lambda self, image: (image,)}
                | attributes)  # fmt: skip


def v3(more: dict[str, Any] | None = None, **attributes: Any) -> type:
    read = schema(**(more or {}))
    own = {
        "define_schema": classmethod(lambda cls: read),
        "execute": classmethod(lambda cls, image: (image,)),
    }
    return type("Odd", (ComfyNode,), own | attributes)


async def later(*_: Any, **__: Any) -> tuple[int]:
    return (1,)


def reasons(cls: type, graph: Graph | None = None) -> list[Reason]:
    graph = graph or around(x=n("Odd", image=["in", 0], free=3))
    return why_not_resident(parse_prompt(graph), {**CLASSES, "Odd": cls})


LAZY = {"image": ("IMAGE", {"lazy": True})}
RAW = {"image": ("IMAGE", {"rawLink": True})}
GROWS = {"image": ("IMAGE",), "more": ("COMFY_AUTOGROW_V3", {})}
COMBO = {"image": ("IMAGE",), "kind": ("COMFY_DYNAMICCOMBO_V3", {})}


@pytest.mark.parametrize(
    ("cls", "why"),
    [
        (v1({"required": LAZY}), "lazy inputs"),
        (v1({"required": {}, "optional": LAZY}), "lazy inputs"),
        (v1({"required": RAW}), "raw links"),
        (v1(INPUT_IS_LIST=True), "INPUT_IS_LIST"),
        (v1(OUTPUT_IS_LIST=(True,)), "OUTPUT_IS_LIST"),
        (v1(execute=later), "async functions"),
        (v1(IS_CHANGED=classmethod(later)), "async functions"),
        (v1({"required": {}, "hidden": {"d": "DYNPROMPT"}}), "the hidden input d (DYNPROMPT)"),
        (v3({"inputs": LAZY}), "lazy inputs"),
        (v3({"is_input_list": True}), "INPUT_IS_LIST"),
        (v3({"is_output_list": [True]}), "OUTPUT_IS_LIST"),
        (v3({"enable_expand": True}), "expansion into a subgraph"),
        (v3({"inputs": GROWS}), "dynamic inputs"),
        (v3({"inputs": COMBO}), "dynamic inputs"),
        (v3({"hidden": {"dynprompt": "DYNPROMPT"}}), "the hidden input dynprompt (DYNPROMPT)"),
        (v3(FUNCTION="EXECUTE_LATER", EXECUTE_LATER=classmethod(later)), "async functions"),
        (v3(fingerprint_inputs=classmethod(later)), "async functions"),
    ],
)
def test_each_feature_is_named(cls: type, why: str) -> None:
    assert reasons(cls) == [Reason("x", "Odd", why)]


@pytest.mark.parametrize(
    "cls",
    [
        v1(),
        v3(),
        v1({"required": {"image": ("IMAGE",)}, "optional": {"free": ("INT", {"lazy": True})}}),
        v1({"required": {}, "hidden": {"a": "UNIQUE_ID", "b": "PROMPT"}}),
        v1({"required": {}, "hidden": {"c": "EXTRA_PNGINFO", "d": "AUTH_TOKEN_COMFY_ORG"}}),
        v1({"required": {}, "hidden": {"filled": ("INT", {"default": 1})}}),
        v1(VALIDATE_INPUTS=classmethod(later)),  # asked while it is checked, not while it runs
        v3({"inputs": {"image": ("COMFY_MATCHTYPE_V3", {})}, "outputs": ("COMFY_MATCHTYPE_V3",)}),
        v3({"hidden": {"unique_id": "UNIQUE_ID", "api_key_comfy_org": "API_KEY_COMFY_ORG"}}),
    ],
)  # fmt: skip
def test_what_is_no_reason(cls: type) -> None:
    assert reasons(cls) == []


def test_nodes_that_do_not_run_are_no_reason() -> None:
    graph = around() | {"lonely": n("Odd", image=["in", 0])}
    assert reasons(v1(INPUT_IS_LIST=True), graph) == []


def test_every_reason_of_every_node() -> None:
    odd = v1(INPUT_IS_LIST=True, OUTPUT_IS_LIST=(False, True))
    graph = around(a=n("Odd", image=["in", 0]), b=n("Odd", image=["a", 0]))
    assert reasons(odd, graph) == [
        Reason("a", "Odd", "INPUT_IS_LIST"),
        Reason("a", "Odd", "OUTPUT_IS_LIST"),
        Reason("b", "Odd", "INPUT_IS_LIST"),
        Reason("b", "Odd", "OUTPUT_IS_LIST"),
    ]


def test_what_a_class_raises_is_not_hidden() -> None:
    class Schemaless(ComfyNode):
        @classmethod
        def define_schema(cls) -> SimpleNamespace:
            raise OSError("list of models unreadable")

    with pytest.raises(OSError, match="unreadable"):
        reasons(Schemaless)
