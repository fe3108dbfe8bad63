"""PrimitiveInt, PrimitiveFloat, PrimitiveBoolean, PrimitiveString: one value, for many inputs."""

from __future__ import annotations

import sys

from workers.nodes.contract import InputTypes

_CATEGORY = "utils/primitive"


class PrimitiveInt:
    RETURN_TYPES = ("INT",)
    FUNCTION = "execute"
    CATEGORY = _CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        options = {"min": -sys.maxsize, "max": sys.maxsize, "control_after_generate": True}
        return {"required": {"value": ("INT", options)}}

    def execute(self, value: int) -> tuple[int]:
        return (value,)


class PrimitiveFloat:
    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "execute"
    CATEGORY = _CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"value": ("FLOAT", {"min": -sys.maxsize, "max": sys.maxsize})}}

    def execute(self, value: float) -> tuple[float]:
        return (value,)


class PrimitiveBoolean:
    RETURN_TYPES = ("BOOLEAN",)
    FUNCTION = "execute"
    CATEGORY = _CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"value": ("BOOLEAN", {})}}

    def execute(self, value: bool) -> tuple[bool]:
        return (value,)


class PrimitiveString:
    RETURN_TYPES = ("STRING",)
    FUNCTION = "execute"
    CATEGORY = _CATEGORY

    @classmethod
    def INPUT_TYPES(cls) -> InputTypes:
        return {"required": {"value": ("STRING", {"multiline": False})}}

    def execute(self, value: str) -> tuple[str]:
        return (value,)
