"""The embedded engine: our nodes and the user's packs, run as one resident graph."""

from __future__ import annotations

from typing import Any

import torch

from comfytrickle.errors import NodeError, WorkerError
from comfytrickle.messages import EngineConfig
from comfytrickle.workflow.model import Workflow
from workers.engine.catalogue import object_info
from workers.engine.check import check_workflow
from workers.engine.constant_part import describe
from workers.engine.constants import Constants
from workers.engine.needed import output_nodes
from workers.engine.refusals import refuse
from workers.engine.registry import Registry, build_registry
from workers.engine.resident import ResidentGraph, load_resident, resident_detail


class EmbeddedEngine:
    """See workers.engine.protocol.Engine. Sets torch's intra-op threads for the whole process."""

    def __init__(self, config: EngineConfig, registry: Registry | None = None) -> None:
        """``registry``: node classes to use instead of the embedded pack and config.node_paths.
        Raises WorkerError when the device cannot be used."""
        torch.set_num_threads(config.threads)
        self.device = _usable_device(config.device)
        self._registry = build_registry(config.node_paths) if registry is None else registry
        self._constants = Constants()

    def check(self, workflow: Workflow) -> list[NodeError]:
        return check_workflow(workflow, self._registry.classes, self._registry.absent)

    def outlook(self, workflow: Workflow) -> dict[str, Any]:
        return resident_detail(describe(workflow, self._registry.classes).plan(), "embedded")

    def output_nodes(self, workflow: Workflow) -> frozenset[str]:
        return output_nodes(workflow, self._registry.classes)

    def load(self, workflow: Workflow) -> ResidentGraph:
        refuse(self.check(workflow))
        return load_resident(
            workflow, self._registry.classes, self.device, "embedded", self._constants
        )

    def object_info(self) -> dict[str, Any]:
        return object_info(self._registry)

    def failed_packs(self) -> dict[str, str]:
        return dict(self._registry.failed)

    def interrupt(self) -> None:
        """Nothing: a frame's nodes are called without looking aside."""

    def close(self) -> None:
        self._registry = Registry()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _usable_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise WorkerError(f"{name!r} is no torch device: {error}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise WorkerError(f"device {name} is not there: torch {torch.__version__} sees no CUDA")
    return device
