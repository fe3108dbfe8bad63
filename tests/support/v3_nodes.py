"""Node classes with the outside of ComfyUI's V3 contract, as far as an engine meets it.

Everything is a class method; a call goes to a clone of the class; inputs and outputs are answered
under the names of V1; the base class defines every optional function as a placeholder.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar


class NodeOutput:
    """What a V3 node returns."""

    def __init__(
        self, *args: Any, ui: Any = None, expand: Any = None, block_execution: str | None = None
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution

    @property
    def result(self) -> tuple[Any, ...] | None:
        return self.args or None


class _OfSchema:
    """An attribute of V1 that is read from the schema."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, _: object, cls: Any) -> Any:
        return getattr(cls.GET_SCHEMA(), self.name)


def schema(
    inputs: Mapping[str, tuple[Any, ...]] | None = None,
    outputs: tuple[str, ...] = ("IMAGE",),
    *,
    optional: Mapping[str, tuple[Any, ...]] | None = None,
    hidden: Mapping[str, str] | None = None,
    **more: Any,
) -> SimpleNamespace:
    """``inputs``: name -> (type, options); ``hidden``: name -> what is wanted."""
    known = {
        "is_output_node": False,
        "is_input_list": False,
        "is_output_list": [False] * len(outputs),
        "not_idempotent": False,
        "enable_expand": False,
        "accept_all_inputs": False,
    }
    return SimpleNamespace(
        inputs=dict({"image": ("IMAGE",)} if inputs is None else inputs),
        optional=dict(optional or {}),
        hidden=dict(hidden or {}),
        outputs=list(outputs),
        **{**known, **more},
    )


class ComfyNode:
    """The base class."""

    hidden: ClassVar[Any] = None

    def __init__(self) -> None:
        raise AssertionError("V3 classes are not instantiated")

    @classmethod
    def define_schema(cls) -> SimpleNamespace:
        raise NotImplementedError

    @classmethod
    def execute(cls, **_: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def validate_inputs(cls, **_: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> Any:
        raise NotImplementedError

    @classmethod
    def check_lazy_status(cls, **_: Any) -> list[str]:
        return []

    @classmethod
    def GET_BASE_CLASS(cls) -> type:
        return ComfyNode

    @classmethod
    def GET_SCHEMA(cls) -> SimpleNamespace:
        return cls.define_schema()

    @classmethod
    def PREPARE_CLASS_CLONE(cls, values: Mapping[str, Any] | None) -> Any:
        assert values is None  # its shape differs between versions
        held = SimpleNamespace(unique_id=None, prompt=None, extra_pnginfo=None)
        return type(f"{cls.__name__}Clone", (cls, *cls.__bases__), {**vars(cls), "hidden": held})

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        read = cls.GET_SCHEMA()
        found: dict[str, Any] = {"required": read.inputs}
        if read.optional:
            found["optional"] = read.optional
        if read.hidden:
            found["hidden"] = {name: (wanted,) for name, wanted in read.hidden.items()}
        return found

    RETURN_TYPES = _OfSchema("outputs")
    OUTPUT_NODE = _OfSchema("is_output_node")
    INPUT_IS_LIST = _OfSchema("is_input_list")
    OUTPUT_IS_LIST = _OfSchema("is_output_list")
    NOT_IDEMPOTENT = _OfSchema("not_idempotent")
    ACCEPT_ALL_INPUTS = _OfSchema("accept_all_inputs")
    FUNCTION = "EXECUTE_NORMALIZED"

    @classmethod
    def EXECUTE_NORMALIZED(cls, **inputs: Any) -> NodeOutput:
        answer = cls.execute(**inputs)
        if isinstance(answer, NodeOutput):
            return answer
        return NodeOutput() if answer is None else NodeOutput(*answer)
