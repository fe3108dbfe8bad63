"""What a node class says about itself, in the words of ComfyUI's V1 contract, read once.

``INPUT_TYPES()`` gives ``{"required": {name: (type, options)}, "optional": ..., "hidden": ...}``;
``RETURN_TYPES``, ``FUNCTION``, ``OUTPUT_NODE`` and the rest are class attributes. V3 classes answer
to the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.engine.contracts import claims_v3, is_v3

_NUMBERS_AND_TEXT: Mapping[str, Callable[[Any], Any]] = {
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One declared input. ``type`` is a name ("IMAGE", "INT,FLOAT", "*") or a list of choices."""

    name: str
    type: Any
    options: Mapping[str, Any]
    required: bool


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node class and its declarations. ``declared`` is what INPUT_TYPES() returned: its parts
    may be unusual mappings that contain any name, so they are asked, not copied."""

    class_type: str
    cls: Any
    declared: Mapping[str, Any]
    returns: tuple[Any, ...]
    v3: bool = False

    def input(self, name: str) -> InputSpec | None:
        """The declaration of a required or optional input, or None."""
        for part in ("required", "optional"):
            if part in self.declared and name in self.declared[part]:
                return _input_spec(name, self.declared[part][name], part == "required")
        return None

    def inputs(self) -> list[InputSpec]:
        """All required and optional inputs that are declared by name."""
        found = (
            self.input(name)
            for part in ("required", "optional")
            for name in self.declared.get(part, ())
        )
        return [spec for spec in found if spec is not None]

    def hidden(self) -> Mapping[str, Any]:
        """Name -> what the engine is to supply ("UNIQUE_ID", "PROMPT", ...)."""
        hidden: Mapping[str, Any] = self.declared.get("hidden") or {}
        return {name: wanted[0] for name, wanted in hidden.items()} if self.v3 else hidden

    @property
    def is_output(self) -> bool:
        return is_output_node(self.cls)


def read_spec(class_type: str, cls: Any) -> NodeSpec:
    """Raises whatever the class's INPUT_TYPES raises (it is foreign code)."""
    return NodeSpec(class_type, cls, cls.INPUT_TYPES(), tuple(cls.RETURN_TYPES), is_v3(cls))


def is_output_node(cls: Any) -> bool:
    return getattr(cls, "OUTPUT_NODE", False) is True


def class_problem(cls: object) -> str | None:
    """Why this is no node class that can be called, or None."""
    if not isinstance(cls, type):
        return "is not a class"
    if not callable(getattr(cls, "INPUT_TYPES", None)):
        return "has no INPUT_TYPES"
    if claims_v3(cls):
        return _v3_problem(cls)
    if not isinstance(getattr(cls, "RETURN_TYPES", None), tuple | list):
        return "has no RETURN_TYPES"
    function = getattr(cls, "FUNCTION", None)
    if not isinstance(function, str) or not callable(getattr(cls, function, None)):
        return f"its FUNCTION {function!r} is no method"
    return None


def _v3_problem(cls: Any) -> str | None:
    if not is_v3(cls):
        return "is a V3 node, which needs the comfyui engine"
    try:
        cls.GET_SCHEMA()
    except Exception as error:  # noqa: BLE001 - the node's own code; reported
        return f"its schema cannot be read: {type(error).__name__}: {error}"
    return None


def convert_literal(type_: Any, value: Any) -> Any:
    """A literal as the node gets it: INT, FLOAT, STRING and BOOLEAN by Python's own rules, as in
    ComfyUI (so "false" is true), others unchanged. Raises TypeError, ValueError, OverflowError."""
    converter = _NUMBERS_AND_TEXT.get(type_) if isinstance(type_, str) else None
    return value if converter is None else converter(value)


def _input_spec(name: str, info: Any, required: bool) -> InputSpec:
    options = info[1] if len(info) > 1 and isinstance(info[1], Mapping) else {}
    return InputSpec(name, info[0], options, required)
