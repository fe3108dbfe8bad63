"""ComfyUI's two node contracts, seen as one.

V1: a class is instantiated; ``FUNCTION`` names the method; hidden inputs are arguments;
``IS_CHANGED`` and ``VALIDATE_INPUTS`` are there or not.
V3 (``io.ComfyNode``): nothing is instantiated for a call; class methods of a clone of the class are
called; hidden inputs are attributes of the clone's ``hidden``; ``fingerprint_inputs``,
``validate_inputs`` and ``check_lazy_status`` are always there, as placeholders of a base class. Its
inputs and outputs are read through the names of V1, which every V3 class answers to.

Nothing of ComfyUI is imported: a class is known by its attributes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

# None is what ComfyUI gives when a caller sent no such thing along.
HIDDEN_NONE = frozenset({"EXTRA_PNGINFO", "AUTH_TOKEN_COMFY_ORG", "API_KEY_COMFY_ORG"})
HIDDEN_SUPPLIED = frozenset({"UNIQUE_ID", "PROMPT"}) | HIDDEN_NONE


def claims_v3(cls: Any) -> bool:
    return hasattr(cls, "define_schema")


def is_v3(cls: Any) -> bool:
    """A V3 class that can be called: ComfyUI's own base class is behind it."""
    return claims_v3(cls) and all(
        callable(getattr(cls, name, None)) for name in ("PREPARE_CLASS_CLONE", "GET_BASE_CLASS")
    )


def change_function(cls: Any) -> Callable[..., Any] | None:
    """IS_CHANGED, or what V3 has in its place, ready to be called; None: it has none."""
    if is_v3(cls) and _overrides(cls, "fingerprint_inputs"):
        return _of_clone(cls, "fingerprint_inputs")
    return getattr(cls, "IS_CHANGED", None)


def validation_function(cls: Any) -> Callable[..., Any] | None:
    """VALIDATE_INPUTS, or what V3 has in its place, ready to be called; None: it has none."""
    if not is_v3(cls):
        return getattr(cls, "VALIDATE_INPUTS", None)
    return _of_clone(cls, "validate_inputs") if _overrides(cls, "validate_inputs") else None


def is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def may_expand(cls: Any) -> bool:
    """A V3 class says beforehand that it may return a subgraph."""
    return is_v3(cls) and bool(getattr(cls.GET_SCHEMA(), "enable_expand", False))


def accepts_all(cls: Any) -> bool:
    """Are literals passed that no input declares?"""
    return is_v3(cls) and bool(getattr(cls, "ACCEPT_ALL_INPUTS", False))


def build_node(cls: Any, hidden: Mapping[str, Any]) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """``(function, arguments)``: what is called for each frame, and what of the hidden inputs is
    to be passed to it. Raises whatever the class raises."""
    if is_v3(cls):
        clone = cls.PREPARE_CLASS_CLONE(None)
        # By attribute: what the method takes for an argument differs between versions.
        for name, value in hidden.items():
            setattr(clone.hidden, name, value)
        return getattr(clone, clone.FUNCTION), {}
    node = cls()
    return getattr(node, node.FUNCTION), hidden


def _of_clone(cls: Any, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(cls.PREPARE_CLASS_CLONE(None), name)
    return function


def _overrides(cls: Any, name: str) -> bool:
    base = cls.GET_BASE_CLASS()
    for ancestor in cls.__mro__:
        if ancestor is base:
            return False
        if name in vars(ancestor):
            return True
    return False
