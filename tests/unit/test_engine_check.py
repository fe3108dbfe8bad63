"""What check finds, in ComfyUI's words."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from comfytrickle.errors import NodeError
from comfytrickle.workflow import parse_prompt
from workers.engine.check import check_workflow, types_match


class LoadTensor:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}, "optional": {"timeout_seconds": ("FLOAT", {"min": 0.1})}}


class SaveTensor:
    RETURN_TYPES = ()
    FUNCTION = "execute"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE",)}}


class Number:
    RETURN_TYPES = ("INT", "STRING,FLOAT")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}}


class Tune:
    """One input of each kind."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": ("IMAGE",),
                "count": ("INT", {"default": 1, "min": 1, "max": 9}),
            },
            "optional": {
                "amount": ("FLOAT", {"min": 0.0, "max": 1.0}),
                "mode": (["soft", "hard"],),
                "combo": ("COMBO", {"options": ["x", "y"]}),
                "any": ("*",),
                "either": ("MASK,STRING",),
                "flag": ("BOOLEAN",),
            },
            "hidden": {"id": "UNIQUE_ID"},
        }


class Judge(Tune):
    """Judges count by itself, and sees types."""

    @classmethod
    def VALIDATE_INPUTS(cls, count: int, image: object = 1, input_types: Any = None) -> bool | str:
        assert image is None  # linked: not known yet
        assert input_types == {"image": "IMAGE"}
        return True if count == 100 else "count must be 100"


class JudgeAll(Tune):
    @classmethod
    def VALIDATE_INPUTS(cls, **kwargs: Any) -> bool:
        return bool(kwargs["count"] != 7)


class Raises(Tune):
    @classmethod
    def VALIDATE_INPUTS(cls, count: int) -> bool:
        raise KeyError("no such thing")


class Broken:
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        raise OSError("list of models unreadable")


def variant(**attributes: Any) -> type:
    return type("Variant", (Tune,), attributes)


def with_inputs(**declared: Any) -> type:
    return variant(INPUT_TYPES=classmethod(lambda cls: {"required": {}, **declared}))


async def _later(self: object) -> tuple[object]:
    return (self,)


CLASSES: dict[str, Any] = {
    "LoadTensor": LoadTensor,
    "SaveTensor": SaveTensor,
    "Number": Number,
    "Tune": Tune,
    "Judge": Judge,
    "JudgeAll": JudgeAll,
    "Raises": Raises,
    "Broken": Broken,
    "InputList": variant(INPUT_IS_LIST=True),
    "OutputList": variant(OUTPUT_IS_LIST=(True,)),
    "Async": variant(execute=_later),
    "Lazy": with_inputs(optional={"image": ("IMAGE", {"lazy": True})}),
    "Dynamic": with_inputs(hidden={"dynprompt": "DYNPROMPT"}),
    "Harmless": with_inputs(hidden={"extra": "EXTRA_PNGINFO", "prompt": "PROMPT"}),
}


def check(class_type: str = "Tune", **inputs: Any) -> list[NodeError]:
    inputs = {"image": ["in", 0], "count": 1, **inputs}
    inputs = {name: value for name, value in inputs.items() if value is not ...}
    graph = {
        "in": {"class_type": "LoadTensor", "inputs": {}},
        "n": {"class_type": "Number", "inputs": {}},
        "x": {"class_type": class_type, "inputs": inputs},
        "out": {"class_type": "SaveTensor", "inputs": {"images": ["x", 0]}},
    }
    return check_workflow(parse_prompt(graph), CLASSES)


def kinds(errors: list[NodeError]) -> list[tuple[str | None, str, str | None]]:
    return [(error.node_id, error.type, error.input_name) for error in errors]


def test_nothing_wrong() -> None:
    assert check() == []
    assert (
        check(amount=1, mode="soft", combo="y", any=["n", 0], either=["n", 1], flag="false") == []
    )
    assert check(count=["n", 0], amount=["n", 1]) == []
    assert check(count="5", amount="0.5") == []  # converted, as in ComfyUI
    assert check(unknown=1) == []
    assert check(mode={"__value__": "hard"}) == []
    assert check("Harmless") == []


@pytest.mark.parametrize(
    ("inputs", "type_", "name"),
    [
        ({"image": ...}, "required_input_missing", "image"),
        ({"count": 0}, "value_smaller_than_min", "count"),
        ({"count": 10}, "value_bigger_than_max", "count"),
        ({"count": "12"}, "value_bigger_than_max", "count"),
        ({"amount": -0.1}, "value_smaller_than_min", "amount"),
        ({"count": "many"}, "invalid_input_type", "count"),
        ({"count": None}, "invalid_input_type", "count"),
        ({"amount": {}}, "invalid_input_type", "amount"),
        ({"mode": "medium"}, "value_not_in_list", "mode"),
        ({"combo": "z"}, "value_not_in_list", "combo"),
        ({"count": ["in", 0]}, "return_type_mismatch", "count"),
        ({"image": ["n", 0]}, "return_type_mismatch", "image"),
        ({"either": ["n", 0]}, "return_type_mismatch", "either"),
        ({"image": ["in", 1]}, "bad_linked_input", "image"),
    ],
)
def test_one_wrong_input(inputs: dict[str, Any], type_: str, name: str) -> None:
    assert kinds(check(**inputs)) == [("x", type_, name)]


def test_all_errors_at_once_and_in_words() -> None:
    errors = check(image=..., count=99, mode="x")
    assert kinds(errors) == [
        ("x", "required_input_missing", "image"),
        ("x", "value_bigger_than_max", "count"),
        ("x", "value_not_in_list", "mode"),
    ]
    assert "99 > 9" in errors[1].message
    assert "['soft', 'hard']" in errors[2].message
    assert {error.class_type for error in errors} == {"Tune"}


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"count": "loud"}, "count: must be a whole number, not 'loud'"),
        ({"count": None}, "count: must be a whole number, not null"),
        ({"count": {"a": 1}}, "count: must be a whole number, not {'a': 1}"),
        ({"amount": "half"}, "amount: must be a number, not 'half'"),
        ({"amount": "x" * 99}, f"amount: must be a number, not '{'x' * 36}..."),
    ],
)
def test_what_is_no_number_is_said_in_plain_words(inputs: dict[str, Any], says: str) -> None:
    (error,) = check(**inputs)
    assert (error.type, error.message) == ("invalid_input_type", says)


def test_unknown_node_types_name_the_nearest() -> None:
    (error,) = check("tunes")
    assert (error.type, error.node_id, error.details) == ("missing_node_type", "x", "Tune")
    assert "Tune" in error.message
    (error,) = check("CompletelyDifferent")
    assert error.details == ""


def test_unknown_node_types_say_what_would_bring_them() -> None:
    graph = {
        "in": {"class_type": "LoadTensor", "inputs": {}},
        "x": {"class_type": "Canny", "inputs": {"image": ["in", 0]}},
        "out": {"class_type": "SaveTensor", "inputs": {"images": ["x", 0]}},
    }
    (error,) = check_workflow(parse_prompt(graph), CLASSES, {"Canny": "install kornia"})
    assert "install kornia" in error.message


def test_nodes_that_lead_nowhere_are_not_looked_at() -> None:
    graph: dict[str, Any] = {
        "in": {"class_type": "LoadTensor", "inputs": {}},
        "lonely": {"class_type": "Tune", "inputs": {}},
        "out": {"class_type": "SaveTensor", "inputs": {"images": ["in", 0]}},
    }
    assert check_workflow(parse_prompt(graph), CLASSES) == []
    graph["lonely"]["class_type"] = "Nonsense"  # but their types must exist
    assert [e.type for e in check_workflow(parse_prompt(graph), CLASSES)] == ["missing_node_type"]


@pytest.mark.parametrize("images", [..., "a picture", 3])
def test_the_output_must_be_linked(images: Any) -> None:
    inputs = {} if images is ... else {"images": images}
    graph = {
        "in": {"class_type": "LoadTensor", "inputs": {}},
        "out": {"class_type": "SaveTensor", "inputs": inputs},
    }
    type_ = "required_input_missing" if images is ... else "bad_linked_input"
    assert kinds(check_workflow(parse_prompt(graph), CLASSES)) == [("out", type_, "images")]


def test_own_validation_takes_over_the_inputs_it_names() -> None:
    assert check("Judge", count=100) == []  # beyond max, but the node judges
    errors = check("Judge", count=5)
    assert {(e.type, e.input_name) for e in errors} == {
        ("custom_validation_failed", "image"),
        ("custom_validation_failed", "count"),
        ("custom_validation_failed", "input_types"),
    }
    assert "count must be 100" in errors[0].message
    # Its other inputs are still checked, and what it would stumble over is reported once.
    assert kinds(check("Judge", count=100, mode="q")) == [("x", "value_not_in_list", "mode")]
    assert len(check("Judge", count=1, mode="q")) == 4
    assert kinds(check("Judge", count=...)) == [("x", "required_input_missing", "count")]
    assert kinds(check("JudgeAll", count=...)) == [("x", "required_input_missing", "count")]


def test_own_validation_of_everything() -> None:
    assert check("JudgeAll", count=1000, mode="nowhere") == []
    assert kinds(check("JudgeAll", count=7)) == [
        ("x", "custom_validation_failed", "image"),
        ("x", "custom_validation_failed", "count"),
    ]


def test_what_raises_is_reported() -> None:
    (error,) = check("Raises")
    assert (error.type, error.node_id) == ("exception_during_validation", "x")
    assert "KeyError" in error.message
    assert "no such thing" in error.message
    found = check("Raises", mode="q")
    assert [e.type for e in found] == ["value_not_in_list", "exception_during_validation"]
    (error,) = check("Broken")
    assert "list of models unreadable" in error.message


@pytest.mark.parametrize(
    ("class_type", "feature"),
    [
        ("InputList", "INPUT_IS_LIST"),
        ("OutputList", "OUTPUT_IS_LIST"),
        ("Async", "async functions"),
        ("Lazy", "lazy inputs"),
        ("Dynamic", "the hidden input dynprompt (DYNPROMPT)"),
    ],
)
def test_what_the_resident_graph_does_not_do(class_type: str, feature: str) -> None:
    (error,) = check(class_type)
    assert (error.type, error.node_id, error.details) == ("unsupported_feature", "x", feature)
    assert feature in error.message


class Wild(str):
    """The way custom nodes say "any type": by not being unequal to anything."""

    __slots__ = ()
    __hash__ = str.__hash__
    NAMES: ClassVar[list[str]] = []

    def __ne__(self, other: object) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return True


@pytest.mark.parametrize(
    ("received", "wanted", "match"),
    [
        ("IMAGE", "IMAGE", True),
        ("IMAGE", "MASK", False),
        ("*", "MASK", True),
        ("IMAGE", "*", True),
        ("IMAGE, MASK", "LATENT,MASK", True),
        ("IMAGE,INT", "MASK,FLOAT", False),
        (Wild("x"), "MASK", True),
        ("MASK", Wild("x"), True),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a", "c"], False),
        ("COMBO", ["a"], True),
        ("STRING", ["a"], False),
        (["a"], "STRING", False),
    ],
)
def test_types_match(received: Any, wanted: Any, match: bool) -> None:
    assert types_match(received, wanted) is match
