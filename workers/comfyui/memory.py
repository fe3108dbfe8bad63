"""ComfyUI's memory: who may change what is loaded, when it is let go, when the collector looks.

comfy.model_management decides what is on the device; it was written for one thread.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

# Those that change the list of loaded models or walk over it.
_GUARDED = (
    "cleanup_models",
    "cleanup_models_gc",
    "free_memory",
    "load_model_gpu",
    "load_models_gpu",
    "loaded_models",
    "unload_all_models",
)

# So many objects take the collector some 25 ms.
_MANY = 50_000


def guard_model_memory(model_management: ModuleType) -> None:
    """One thread at a time: a workflow is loaded beside the one that runs."""
    lock = threading.RLock()
    for name in _GUARDED:
        function = getattr(model_management, name, None)
        if function is not None:
            setattr(model_management, name, _locked(function, lock))


def _locked(function: Callable[..., Any], lock: threading.RLock) -> Callable[..., Any]:
    @wraps(function)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return function(*args, **kwargs)

    return locked


class Collector:
    """Keeps Python's collector away from what lives for long.

    ComfyUI and its packages are half a million objects: a full collection takes 0.3 s, in the
    middle of a frame. Set aside, they cost nothing, but what is set aside is never collected; so a
    workflow is only when it is large itself (or when its first frame has imported half of torch).
    """

    def __init__(self) -> None:
        """When ComfyUI is imported and no workflow is loaded yet."""
        self._holds_workflow = False
        gc.collect()
        gc.freeze()

    def settle(self) -> None:
        """A workflow is loaded and has run: it will live for long."""
        gc.collect()
        if len(gc.get_objects()) > _MANY:
            gc.freeze()
            self._holds_workflow = True

    def sweep(self) -> None:
        """A workflow is gone: find what is left of it, in cycles too."""
        if self._holds_workflow:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        else:
            gc.collect()


def free_device_memory(model_management: ModuleType) -> None:
    """Unload all models and give the memory back to the device. On the CPU there is nothing to give
    back, and collecting would keep a stream's last packets waiting (0.4 s and more)."""
    gc.unfreeze()
    if model_management.get_torch_device().type == "cpu":
        return
    model_management.unload_all_models()
    gc.collect()
    model_management.soft_empty_cache()
