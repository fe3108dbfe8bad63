"""The node catalogue of a workspace, as ComfyUI's /object_info gives it."""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

from workers.comfyui.boot import STREAM_NODES
from workers.comfyui.stream_nodes import is_bound
from workers.engine.catalogue import object_info as describe_all
from workers.engine.catalogue import to_plain
from workers.engine.registry import Registry

_log = logging.getLogger(__name__)


def object_info(nodes: ModuleType) -> dict[str, Any]:
    """class_type -> description. V3 classes describe themselves. A node that cannot be described
    is left out, and logged."""
    registry = Registry()
    catalogue: dict[str, Any] = {}
    for class_type, cls in list(nodes.NODE_CLASS_MAPPINGS.items()):
        if is_bound(cls):
            continue
        describe = getattr(cls, "GET_NODE_INFO_V1", None)
        if describe is not None:
            try:
                catalogue[class_type] = to_plain(describe())
            except Exception:  # noqa: BLE001 - the node's own code; logged
                _log.warning("node %s cannot describe itself", class_type, exc_info=True)
        else:
            registry.classes[class_type] = cls
            registry.modules[class_type] = _module(class_type, cls)
            names = nodes.NODE_DISPLAY_NAME_MAPPINGS
            registry.display_names[class_type] = str(names.get(class_type, class_type))
    return catalogue | describe_all(registry)


def _module(class_type: str, cls: Any) -> str:
    if cls is STREAM_NODES.get(class_type):
        return "comfytrickle"
    return str(getattr(cls, "RELATIVE_PYTHON_MODULE", "nodes"))
