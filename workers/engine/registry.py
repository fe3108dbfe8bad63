"""Which node classes there are, and from where."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from workers import nodes
from workers.engine.packs import load_packs, mapping_of
from workers.engine.spec import class_problem

_log = logging.getLogger(__name__)


class Registry:
    """Node classes by class_type. A later pack wins over an earlier one, and that is logged."""

    def __init__(self) -> None:
        self.classes: dict[str, Any] = {}
        self.display_names: dict[str, str] = {}
        self.modules: dict[str, str] = {}  # class_type -> the pack it is from
        self.absent: dict[str, str] = {}  # class_type -> why this installation lacks it
        self.failed: dict[str, str] = {}  # pack, or "pack: class_type" -> reason

    def add(self, pack: str, classes: Mapping[Any, Any], names: Mapping[Any, Any]) -> None:
        """Take in the classes of one pack; those that are no node classes are noted as failed."""
        for class_type, cls in classes.items():
            problem = class_problem(cls) if isinstance(class_type, str) else "has no name"
            if problem is not None:
                self.failed[f"{pack}: {class_type}"] = problem
                _log.warning("node %s of %s left out: %s", class_type, pack, problem)
                continue
            if class_type in self.classes:
                _log.info(
                    "node %s of %s takes the place of the one of %s",
                    class_type,
                    pack,
                    self.modules[class_type],
                )
            self.classes[class_type] = cls
            self.absent.pop(class_type, None)
            self.modules[class_type] = pack
            self.display_names[class_type] = str(names.get(class_type, class_type))


def build_registry(node_paths: list[str]) -> Registry:
    """The embedded pack, then the user's packs, in the order given."""
    registry = Registry()
    registry.add("embedded", nodes.NODE_CLASS_MAPPINGS, nodes.NODE_DISPLAY_NAME_MAPPINGS)
    registry.absent.update(nodes.missing_extras())
    packs = load_packs(node_paths)
    registry.failed.update(packs.failed)
    for path, module in packs.loaded:
        registry.add(
            str(path),
            mapping_of(module, "NODE_CLASS_MAPPINGS"),
            mapping_of(module, "NODE_DISPLAY_NAME_MAPPINGS"),
        )
    return registry
