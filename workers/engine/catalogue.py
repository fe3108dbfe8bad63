"""The node catalogue in the shape of ComfyUI's /object_info, safe to send as JSON."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from workers.engine.registry import Registry
from workers.engine.spec import is_output_node

_log = logging.getLogger(__name__)


def object_info(registry: Registry) -> dict[str, Any]:
    """class_type -> description. A node that cannot describe itself is left out, and logged."""
    catalogue = {}
    for class_type, cls in registry.classes.items():
        try:
            entry = _describe(class_type, cls, registry)
        except Exception:  # noqa: BLE001 - the node's own code; logged
            _log.warning("node %s cannot describe itself", class_type, exc_info=True)
            continue
        catalogue[class_type] = entry
    return catalogue


def _describe(class_type: str, cls: Any, registry: Registry) -> dict[str, Any]:
    declared = cls.INPUT_TYPES()
    returns = list(cls.RETURN_TYPES)
    entry = {
        "input": {part: dict(inputs) for part, inputs in declared.items()},
        "input_order": {part: list(inputs) for part, inputs in declared.items()},
        "output": returns,
        "output_is_list": list(getattr(cls, "OUTPUT_IS_LIST", [False] * len(returns))),
        "output_name": list(getattr(cls, "RETURN_NAMES", returns)),
        "name": class_type,
        "display_name": registry.display_names[class_type],
        "description": getattr(cls, "DESCRIPTION", ""),
        "python_module": registry.modules[class_type],
        "category": getattr(cls, "CATEGORY", "sd"),
        "output_node": is_output_node(cls),
    }
    if hasattr(cls, "OUTPUT_TOOLTIPS"):
        entry["output_tooltips"] = list(cls.OUTPUT_TOOLTIPS)
    for flag in ("DEPRECATED", "EXPERIMENTAL"):
        if getattr(cls, flag, False):
            entry[flag.lower()] = True
    plain: dict[str, Any] = to_plain(entry)
    return plain


def to_plain(value: Any) -> Any:
    """JSON types only: tuples become lists, numbers that JSON cannot hold become null, and other
    objects their text."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value)
