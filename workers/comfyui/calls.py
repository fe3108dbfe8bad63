"""ComfyUI's functions change their parameters, and become asynchronous, from version to version.

What a function takes is asked of itself, never of a version number.
"""

from __future__ import annotations

import inspect
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping
from typing import Any

from comfytrickle.errors import WorkerError


def fitting(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Of the offered arguments, those that it takes. Raises WorkerError if it requires another."""
    parameters = inspect.signature(function).parameters
    unknown = [
        name
        for name, parameter in parameters.items()
        if name not in offered
        and parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if unknown:
        name = getattr(function, "__qualname__", repr(function))
        raise WorkerError(
            f"this version of ComfyUI is not known here: {name} wants {', '.join(unknown)}"
        )
    return {name: value for name, value in offered.items() if name in parameters}


def settle(result: Any, loop: AbstractEventLoop) -> Any:
    """The result of a function that may be asynchronous in this version."""
    return loop.run_until_complete(result) if inspect.isawaitable(result) else result
